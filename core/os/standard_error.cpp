#include "core/os/standard_error.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/os/linux.h"

namespace hakmem {
namespace {

constexpr int kLowestKept = 512;

struct Kept {
  int descriptor;
  dev_t device;
  ino_t inode;
};
constinit Kept kept{-1, 0, 0};

bool is_what_was_kept(int descriptor) noexcept {
  struct stat now;
  return fstat(descriptor, &now) == 0 && now.st_dev == kept.device && now.st_ino == kept.inode;
}

}  // namespace

void StandardError::keep() noexcept {
  struct stat now;
  if (fstat(STDERR_FILENO, &now) != 0) return;
  kept = {fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, kLowestKept), now.st_dev, now.st_ino};
}

void StandardError::write(char const* text, std::size_t bytes) noexcept {
  int const saved_errno = errno;
  if (kept.descriptor < 0 || is_what_was_kept(STDERR_FILENO))
    Linux::write(STDERR_FILENO, text, bytes);
  else if (is_what_was_kept(kept.descriptor))
    Linux::write(kept.descriptor, text, bytes);
  errno = saved_errno;
}

}  // namespace hakmem
