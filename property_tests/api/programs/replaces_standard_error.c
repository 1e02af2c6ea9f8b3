/* A daemon's start: closes every descriptor, then has a file of its own where standard error was. */
#include <fcntl.h>
#include <unistd.h>

#include "expect.h"

int main(int argc, char** argv) {
  EXPECT(argc == 2);
  free(malloc(100));
  for (int descriptor = 2; descriptor < 2048; ++descriptor) close(descriptor);
  return open(argv[1], O_RDWR) != 2;
}
