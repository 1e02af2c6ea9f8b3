#!/bin/bash -eu
# ClusterFuzzLite's environment is that of OSS-Fuzz.
exec "$SRC/hakmem/fuzz/oss-fuzz/build.sh"
