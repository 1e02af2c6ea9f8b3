# Strings, arrays, associative arrays, subshells and pipelines in one shell.
cat >workload.sh <<'WORKLOAD'
declare -A seen
text=""
for ((i = 0; i < 30000; i++)); do
  word="w$((i * 7919 % 4099))"
  seen[$word]=$((${seen[$word]:-0} + i))
  text+="$word,"
  ((${#text} > 4000)) && text=${text:2000}
done
IFS=, read -ra parts <<<"$text"
echo "${#seen[@]} ${seen[w17]} ${#parts[@]} ${parts[5]}"
for i in 1 2 3 4 5 6 7 8; do (x=$(printf '%s\n' "${parts[@]}" | sort | head -n "$i" | cksum); echo "$i $x"); done
WORKLOAD
under_test /bin/bash workload.sh
