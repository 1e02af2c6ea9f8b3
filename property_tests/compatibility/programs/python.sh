# CPython's own tests of its containers, text, numbers, compression and threads, with every object on malloc.
tests=(test_dict test_list test_set test_deque test_heapq test_sort test_bytes test_unicode test_re test_struct
  test_zlib test_array test_collections test_itertools test_thread test_mmap)
export PYTHONMALLOC=malloc PYTHONHASHSEED=7
for name in "${tests[@]}"; do
  under_test /usr/bin/python3 -m unittest -q "test.$name" >"$name.log" 2>"$name.errors" || { cat "$name.log" "$name.errors"; exit 1; }
  sed -n "s/ in [0-9.]*s\$//; s/^Ran/$name: ran/p; s/^OK/$name: OK/p" "$name.log" "$name.errors"
done
