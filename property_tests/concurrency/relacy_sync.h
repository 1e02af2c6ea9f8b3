// What it owns: the Sync policy of the model checker. The shipped headers, instantiated with it,
// run under Relacy: every atomic operation is a point where another thread may go on and where a
// load may see any value that the C++ memory model allows, and every access to Plain memory is
// checked for a race.
//
// Atomic and Plain are valid when all their bytes are zero, like their std counterparts, so they may
// lie in memory that nobody constructed, or be static. What stands behind one is made at its first
// access in each execution.
//
// Memory from ModelOs counts as written by the thread that mapped it: touching an atomic in it
// without being ordered after the mapping is a race, as it is for memory that is handed over.
//
// One order can be weakened while the models run (`Weakened`), without compiling anything again.
// Thread-safety: none; the model checker runs one thread at a time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <source_location>
#include <string_view>

#include "property_tests/concurrency/relacy_headers.h"

namespace hakmem::model {

using Location = std::source_location;

inline rl::debug_info at(Location const& where) { return {where.function_name(), where.file_name(), where.line()}; }

// The one order that is taken as a weaker one: the `argument`-th order of the call in this line.
struct Weakened {
  std::string_view file;  // the end of its path; empty: none
  unsigned line = 0;
  unsigned argument = 0;
  std::memory_order to = std::memory_order_relaxed;
  bool reached = false;
};
inline Weakened weakened;

inline rl::memory_order order(std::memory_order wanted, Location const& where, unsigned argument = 0) {
  bool const weaken = weakened.line == where.line() && weakened.argument == argument &&
                      std::string_view(where.file_name()).ends_with(weakened.file) && !weakened.file.empty();
  weakened.reached |= weaken;
  switch (weaken ? weakened.to : wanted) {
    case std::memory_order_relaxed:
      return rl::mo_relaxed;
    case std::memory_order_acquire:
    case std::memory_order_consume:
      return rl::mo_acquire;
    case std::memory_order_release:
      return rl::mo_release;
    case std::memory_order_acq_rel:
      return rl::mo_acq_rel;
    default:
      return rl::mo_seq_cst;
  }
}

// What lives for one execution: the objects behind Atomic and Plain.
class Execution {
 public:
  // At the start of each execution. What an execution that failed left behind is forgotten.
  static void begin() {
    ++number_;
    while (items_) {
      Item* const item = items_;
      items_ = item->next;
      std::free(item);
    }
  }
  // At the end, inside the context of the model checker.
  static void end() {
    while (items_) {
      Item* const item = items_;
      items_ = item->next;
      item->destroy(item + 1);
      std::free(item);
    }
  }
  static std::uint64_t number() { return number_; }

  template <class T, class... Arguments>
  static T* make(Arguments... arguments) {
    auto* const item = static_cast<Item*>(std::malloc(sizeof(Item) + sizeof(T)));
    item->next = items_;
    item->destroy = [](void* object) { static_cast<T*>(object)->~T(); };
    items_ = item;
    return ::new (static_cast<void*>(item + 1)) T(arguments...);
  }

 private:
  struct alignas(16) Item {
    Item* next;
    void (*destroy)(void*);
  };
  static inline std::uint64_t number_ = 1;
  static inline Item* items_ = nullptr;
};

template <class T>
class Plain {
 public:
  constexpr Plain() noexcept = default;

  T get(Location where = Location::current()) const noexcept { return static_cast<T>(made()(at(where))); }
  void set(T value, Location where = Location::current()) noexcept {
    if (made_in_ == Execution::number()) {
      (*variable_)(at(where)) = value;
    } else {
      variable_ = Execution::make<rl::var<T>>();
      made_in_ = Execution::number();
      (*variable_)(at(where)) = value;
    }
  }

 private:
  rl::var<T>& made() const {
    if (made_in_ != Execution::number()) {
      variable_ = Execution::make<rl::var<T>>(T{});
      made_in_ = Execution::number();
    }
    return *variable_;
  }

  mutable rl::var<T>* variable_ = nullptr;
  mutable std::uint64_t made_in_ = 0;
};

// Ranges of memory that threads of the model mapped.
class MappedMemory {
 public:
  static void begin() { count_ = 0; }
  static void add(std::byte* base, std::size_t bytes) {
    if (count_ == kMost) std::abort();
    Range& range = ranges_[count_++];
    range.base = base;
    range.bytes = bytes;
    range.birth.set(1);
  }
  static void remove(std::byte* base, std::size_t bytes) {
    Range* const range = find(base);
    RL_ASSERT(range && range->base == base && range->bytes == bytes);
    range->bytes = 0;
  }
  // How many there are.
  static unsigned ranges() {
    unsigned mapped = 0;
    for (unsigned i = 0; i < count_; ++i) mapped += ranges_[i].bytes != 0;
    return mapped;
  }
  // Reports a race unless this thread is ordered after the mapping of the memory; false: it is none
  // of ours.
  static bool check(void const* address, Location const& where = Location::current()) {
    Range* const range = find(address);
    if (range) range->birth.get(where);
    return range != nullptr;
  }

 private:
  static constexpr unsigned kMost = 32;
  struct Range {
    std::byte* base;
    std::size_t bytes;
    Plain<int> birth;
  };
  static Range* find(void const* address) {
    for (unsigned i = 0; i < count_; ++i) {
      auto const offset = static_cast<std::size_t>(static_cast<std::byte const*>(address) - ranges_[i].base);
      if (offset < ranges_[i].bytes) return &ranges_[i];
    }
    return nullptr;
  }

  static inline Range ranges_[kMost];
  static inline unsigned count_ = 0;
};

template <class T>
class Atomic {
  using Model = rl::generic_atomic<T, true>;

 public:
  constexpr Atomic() noexcept = default;
  constexpr Atomic(T value) noexcept {
    if (value != T{}) std::abort();
  }

  T load(std::memory_order wanted, Location where = Location::current()) const noexcept {
    return made(where).load(order(wanted, where), at(where));
  }
  void store(T value, std::memory_order wanted, Location where = Location::current()) noexcept {
    made(where).store(value, order(wanted, where), at(where));
  }
  T exchange(T value, std::memory_order wanted, Location where = Location::current()) noexcept {
    return made(where).rmw(rl::rmw_type_t<rl::rmw_type_swap>(), value, order(wanted, where), at(where));
  }
  T fetch_add(T value, std::memory_order wanted, Location where = Location::current()) noexcept {
    return made(where).rmw(rl::rmw_type_t<rl::rmw_type_add>(), value, order(wanted, where), at(where));
  }
  T fetch_sub(T value, std::memory_order wanted, Location where = Location::current()) noexcept {
    return made(where).rmw(rl::rmw_type_t<rl::rmw_type_sub>(), value, order(wanted, where), at(where));
  }
  T fetch_or(T value, std::memory_order wanted, Location where = Location::current()) noexcept {
    return made(where).rmw(rl::rmw_type_t<rl::rmw_type_or>(), value, order(wanted, where), at(where));
  }
  T fetch_and(T value, std::memory_order wanted, Location where = Location::current()) noexcept {
    return made(where).rmw(rl::rmw_type_t<rl::rmw_type_and>(), value, order(wanted, where), at(where));
  }
  bool compare_exchange_weak(T& expected, T value, std::memory_order success, std::memory_order failure,
                             Location where = Location::current()) noexcept {
    return compare_exchange<true>(expected, value, success, failure, where);
  }
  bool compare_exchange_strong(T& expected, T value, std::memory_order success, std::memory_order failure,
                               Location where = Location::current()) noexcept {
    return compare_exchange<false>(expected, value, success, failure, where);
  }

  // The futex: sleeps while the newest value is `value`; orders nothing.
  void sleep_while(T value) noexcept {
    Model& model = made(Location::current());
    rl::ctx().sched();
    if (model.debug_value() == value) model.wait(rl::ctx(), false, false, at(Location::current()));
  }
  void wake_one() noexcept { made(Location::current()).wake(rl::ctx(), 1, at(Location::current())); }

 private:
  // Relacy wants the order of failure to be no stronger than that of success.
  template <bool kWeak>
  bool compare_exchange(T& expected, T value, std::memory_order success, std::memory_order failure, Location where) {
    rl::memory_order const on_success = order(success, where, 0);
    rl::memory_order on_failure = order(failure, where, 1);
    if (on_success == rl::mo_release && on_failure == rl::mo_acquire)
      return compare_exchange_release_acquire<kWeak>(expected, value, where);
    if (on_success == rl::mo_relaxed || on_success == rl::mo_release) on_failure = rl::mo_relaxed;
    return made(where).compare_exchange(rl::bool_t<kWeak>(), expected, value, on_success, on_failure, at(where));
  }

  // Release on success, acquire on failure. Relacy has no such pair: the exchange releases; when it
  // fails, one more load acquires, and what it sees is what the exchange failed on.
  template <bool kWeak>
  bool compare_exchange_release_acquire(T& expected, T value, Location where) {
    if (made(where).compare_exchange(rl::bool_t<kWeak>(), expected, value, rl::mo_release, rl::mo_relaxed, at(where)))
      return true;
    expected = made(where).load(rl::mo_acquire, at(where));
    return false;
  }

  Model& made(Location const& where) const {
    MappedMemory::check(this, where);
    if (made_in_ != Execution::number()) {
      atomic_ = Execution::make<Model>();
      made_in_ = Execution::number();
    }
    return *atomic_;
  }

  mutable Model* atomic_ = nullptr;
  mutable std::uint64_t made_in_ = 0;
};

struct ModelSync {
  template <class T>
  using Atomic = model::Atomic<T>;
  template <class T>
  using Plain = model::Plain<T>;
};

// A model: `threads` run at once between `prepare` and `conclude`, which run alone.
template <class Derived, rl::thread_id_t kThreads>
struct Model : rl::test_suite<Derived, kThreads> {
  Model() {
    Execution::begin();
    MappedMemory::begin();
  }
  ~Model() { Execution::end(); }
};

}  // namespace hakmem::model
