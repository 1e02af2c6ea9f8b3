/* A parent and a child that both exit by exit(), and a child that does not. */
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"

static void child(int with_exit) {
  pid_t const process = fork();
  EXPECT(process >= 0);
  if (process == 0) {
    for (int i = 0; i < 1000; ++i) free(malloc((size_t)i * 100));
    if (with_exit) exit(0);
    _Exit(0);
  }
  int status = -1;
  EXPECT(waitpid(process, &status, 0) == process && status == 0);
}

int main(void) {
  free(malloc(1));
  child(1);
  child(0);
  return 0;
}
