# clang++ compiles a large generated file; the object code must agree to the byte.
source "${BASH_SOURCE[0]%/*}/../large_source.sh"
under_test /usr/bin/clang++-19 -std=c++17 -O1 -c large.cpp -o large.o
cksum <large.o
