// What it owns: the bundle of policies that every layer above is a template of.
// Thread-safety: types only.
#pragma once

#include "core/base/atomic.h"
#include "core/base/geometry.h"
#include "core/base/lock.h"
#include "core/mode/mode.h"
#include "core/os/os.h"

namespace hakmem {

template <AllocatorMode ModeT, OperatingSystem OsT, class SyncT = StdSync, class GeometryT = DefaultGeometry>
struct Config {
  using Mode = ModeT;
  using Os = OsT;
  using Sync = SyncT;
  using Geo = GeometryT;
  template <class T>
  using Atomic = typename SyncT::template Atomic<T>;
  template <LockRank rank>
  using Lock = hakmem::Lock<SyncT, OsT, rank>;
};

}  // namespace hakmem
