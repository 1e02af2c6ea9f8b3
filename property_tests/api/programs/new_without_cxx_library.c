/* A C program that asks operator new for more than there is: nothing can be thrown here. */
#include <stddef.h>

/* operator new that answers with null, and the one that throws. */
void* _ZnwmRKSt9nothrow_t(size_t size, void const* nothrow);
void* _Znwm(size_t size);

int main(void) {
  size_t const too_much = (size_t)1 << 62;
  if (_ZnwmRKSt9nothrow_t(too_much, "") != NULL) return 2;
  return _Znwm(too_much) != NULL;
}
