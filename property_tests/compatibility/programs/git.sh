# A repository with 120 commits: clone, log, blame, merge, repack and gc.
export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
git() { under_test /usr/bin/git "$@"; }

git init -q -b main source
cd source
for commit in {1..120}; do
  export GIT_AUTHOR_DATE="$((1700000000 + commit)) +0000" GIT_COMMITTER_DATE="$((1700000000 + commit)) +0000"
  seq "$commit" $((commit * 3 + 200)) >"file$((commit % 10))"
  command git add .
  command git commit -q -m "change $commit"
done
git checkout -q -b side HEAD~20
echo side >side
git add side
git commit -q -m side
git checkout -q main
git merge -q -m merge side
cd ..
git clone -q --no-local source copy 2>/dev/null
cd copy
git log --stat --format='%H %s' | cksum
git blame file3 | cksum
git gc -q --aggressive --prune=now
git fsck --full
git rev-parse HEAD
git count-objects -v | grep -v '^size'
