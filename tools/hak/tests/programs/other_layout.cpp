// A library that exports a debug layout which `hak` does not know.
#include "core/api/debug_layout.h"

namespace {

consteval hakmem::DebugLayout of_another_version() {
  hakmem::DebugLayout layout{};
  layout.version = 999;
  return layout;
}

}  // namespace

extern "C" {
extern hakmem::DebugLayout const hak_debug_layout;
hakmem::DebugLayout const hak_debug_layout = of_another_version();
}
