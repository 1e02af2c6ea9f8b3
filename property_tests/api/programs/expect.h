/* For the programs that run under the library: says what did not hold and where, and fails. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define EXPECT(condition)                                                  \
  do {                                                                     \
    if (!(condition)) {                                                    \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      _Exit(1);                                                            \
    }                                                                      \
  } while (0)
