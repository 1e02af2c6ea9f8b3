/* A C program that asks operator new for more than there is: nothing can be thrown here. */
#include <stddef.h>

void* _Znwm(size_t size);

int main(void) { return _Znwm((size_t)1 << 62) != NULL; }
