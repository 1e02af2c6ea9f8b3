#!/bin/bash -eu
# Builds every fuzz target into $OUT, each with its seeds and, where text is parsed, a dictionary. The environment is
# OSS-Fuzz's: CC, CXX, CFLAGS, CXXFLAGS, LIB_FUZZING_ENGINE, SRC, WORK, OUT.
source_directory=$SRC/hakmem
build_directory=$WORK/hakmem
cmake -S "$source_directory" -B "$build_directory" -G Ninja -DCMAKE_BUILD_TYPE=Debug \
  -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" -DCMAKE_C_FLAGS_DEBUG="$CFLAGS" -DCMAKE_CXX_FLAGS_DEBUG="$CXXFLAGS" \
  -DHAKMEM_FUZZ=ON -DHAKMEM_FUZZ_ENGINE="$LIB_FUZZING_ENGINE" -DHAKMEM_CHECKS=ON -DHAKMEM_TESTS=OFF -DHAKMEM_BENCH=OFF
for source in "$source_directory"/fuzz/fuzz_*.cpp; do
  target=$(basename "$source" .cpp)
  ninja -C "$build_directory" "$target"
  cp "$build_directory/fuzz/$target" "$OUT/"
  (cd "$source_directory/corpus/${target#fuzz_}" && zip -q -r "$OUT/${target}_seed_corpus.zip" .)
  dictionary=$source_directory/fuzz/${target#fuzz_}.dict
  [ ! -f "$dictionary" ] || cp "$dictionary" "$OUT/$target.dict"
done
