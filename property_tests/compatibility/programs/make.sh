# make -j2 builds and links a program of 40 C files through a generated makefile, then finds nothing left to do.
for ((i = 0; i < 40; i++)); do
  echo "int f$i(int x) { for (int i = 0; i < x; i++) x ^= x * $((i + 3)) >> 1; return x; }" >"f$i.c"
done
{
  printf '#include <stdio.h>\n'
  for ((i = 0; i < 40; i++)); do echo "int f$i(int);"; done
  printf 'int main(void) {\n  int x = 12345;\n'
  for ((i = 0; i < 40; i++)); do echo "  x += f$i(x & 1023);"; done
  printf '  printf("%%d\\n", x);\n}\n'
} >main.c
cat >Makefile <<'MAKEFILE'
sources := $(sort $(wildcard *.c))
program: $(sources:.c=.o)
	@gcc -o $@ $^
%.o: %.c
	@gcc -O1 -c $< -o $@
MAKEFILE
under_test /usr/bin/make -s -j2
under_test ./program
under_test /usr/bin/make -q
cksum <program
