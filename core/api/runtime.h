// What it owns: the process's one allocator, and what ties it to the process - the heap of the
// calling thread, the first call, thread exit, fork, the report at exit.
//
// A thread's life here:
//   none ---- first call that needs a heap ----> attached ---- its exit handler ----> departed
// Destructors that run after the exit handler may still allocate and free: a departed thread
// borrows a parked heap for each call. A thread whose exit cannot be observed departs at once.
//
// The first call may come before libc's constructors, and what it does may allocate: the allocator
// is configured first and complete from then on; everything that may allocate comes after.
// Thread-safety: all functions, any thread.
#pragma once

#include <atomic>
#include <cerrno>

#include "core/api/allocator.h"
#include "core/api/options.h"
#include "core/api/report.h"
#include "core/base/check.h"
#include "core/base/once.h"

namespace hakmem {

// The process around the allocator. All functions are static.
//   environment           "NAME=value"s that the options are read from, or null
//   arm_thread_exit       run a function when the calling thread ends; false: it cannot be
//   register_fork         run functions around every fork: before, after in the parent and child
//   start_helper          run a function on a thread of ours for good; false: there is none
//   keep_standard_error   make write_standard_error work at exit, whatever the program closes
//   write_standard_error  a sink for TextWriter
template <class H>
concept HostProcess = requires(void (*run)(), char const* text, std::size_t bytes) {
  { H::environment() }
  noexcept->std::same_as<char const* const*>;
  { H::arm_thread_exit(run) }
  noexcept->std::same_as<bool>;
  { H::register_fork(run, run, run) }
  noexcept->std::same_as<void>;
  { H::start_helper(run) }
  noexcept->std::same_as<bool>;
  { H::keep_standard_error() }
  noexcept->std::same_as<void>;
  { H::write_standard_error(nullptr, text, bytes) }
  noexcept->std::same_as<void>;
};

template <AllocatorMode ModeT, OperatingSystem Os, HostProcess Host, class G = DefaultGeometry>
class Runtime {
 public:
  using Mode = ModeT;
  using Core = Allocator<Mode, Os, StdSync, G>;
  using Heap = typename Core::Heap;
  // A mode that checks its client sees every call; the others only what the fast paths leave.
  static constexpr bool kFastPaths = Mode::kTrustsClient;
  using Geo = G;
  static constexpr std::size_t kSuperSlabBytes = G::kSuperSlabBytes;

  static std::size_t page_bytes() noexcept { return Os::page_bytes(); }

  static constexpr Core& core() noexcept { return core_; }

  // The calling thread's heap, or Core::unattached(): enough for the fast paths and for release.
  // A reference, so that the fast paths use it where it stands.
  static Heap* const& heap() noexcept { return heap_; }

  // Calls `work` with a heap that it may allocate from and returns its block; null: no memory.
  template <class Work>
  static void* with_heap(Work work) noexcept {
    if (heap_->attached()) [[likely]] {
      void* const block = work(heap_);
      if (settings_.prefault == PrefaultPolicy::kBackground) [[unlikely]]
        start_helper();
      return block;
    }
    Heap* const heap = attach_or_borrow();
    if (!heap) return nullptr;
    void* const block = work(heap);
    if (heap != heap_) hand_back(heap);
    return block;
  }

  // free and delete where a mode checks its client: the short way (core/heap/ordinary.h), or that of all others. The
  // claims are two, so that the first stays in registers.
  template <AllocationKind kind>
  [[gnu::noinline]] static void release_checked(void* block, std::size_t bytes) noexcept {
    if (!block) return;
    if (!core_.release_ordinary(heap_, block, {kind, bytes})) [[unlikely]]
      return release(block, {kind, bytes});
    sweep_if_asked();
  }

  // Off the fast path: frees by a thread that has no heap yet give it one, so that it sends its
  // blocks home in batches.
  [[gnu::noinline]] static void release(void* block, Claim const& claim) noexcept { release_named(block, claim); }
  // The same for what the fast path of free left, which the compiler can jump to: first a block that
  // another thread allocated, then everything else.
  template <AllocationKind kind>
  [[gnu::noinline]] static void release_missed(void* block) noexcept {
    if (Heap::try_send_home(heap_, block)) [[likely]]
      return;
    release_other<kind>(block);
  }
  template <AllocationKind kind>
  [[gnu::noinline]] static void release_other(void* block) noexcept {
    note_caller(__builtin_frame_address(0));
    release_named(block, {kind, Claim::kUnsaid, Claim::kUnsaid});
  }

  // First in a function that the program called, or that such a one jumped to: reports begin there.
  [[gnu::always_inline]] static void note_caller([[maybe_unused]] void* frame) noexcept {
    if constexpr (!Mode::kTrustsClient || Mode::kSamples) Mode::entered(frame);
  }

  static void count_refusal() noexcept { refusals_.fetch_add(1, std::memory_order_relaxed); }

  static Statistics statistics() noexcept {
    Statistics figures = core_.statistics(heap_);
    figures.out_of_memory = refusals_.load(std::memory_order_relaxed);
    return figures;
  }

  static void report_at_exit() noexcept {
    if (settings_.stats_at_exit != StatsReport::kOff) write_report(settings_.stats_at_exit);
    if constexpr (!Mode::kTrustsClient)
      if (Mode::check_time().choice != CheckTime::kFree) core_.sweep();
  }

  // Whether the heap is whole, and no block of it was damaged.
  static bool check_heap() noexcept { return core_.validate(heap_) && core_.sweep(); }

  static void write_report(StatsReport format) noexcept {
    TextWriter out(&Host::write_standard_error, nullptr);
    write_statistics(out, format, statistics());
    if (format != StatsReport::kText || Mode::failures() == 0) return;
    out << "  requests refused on purpose: " << Mode::failures() << "; repeat with " << Mode::failure_token() << '\n';
  }

 private:
  [[gnu::always_inline]] static void release_named(void* block, Claim const& claim) noexcept {
    if (!block) return;
    if (!heap_->attached()) [[unlikely]]
      attach();
    core_.release(heap_, block, claim);
    sweep_if_asked();
  }
  [[gnu::always_inline]] static void sweep_if_asked() noexcept {
    if constexpr (!kFastPaths)
      if (Mode::check_time().choice == CheckTime::kEvery) [[unlikely]]
        sweep_if_due();
  }
  [[gnu::noinline]] static void sweep_if_due() noexcept {
    if (releases_.fetch_add(1, std::memory_order_relaxed) % Mode::check_time().number == 0) core_.sweep();
  }

  [[gnu::cold, gnu::noinline]] static Heap* attach_or_borrow() noexcept {
    attach();
    return heap_->attached() ? heap_ : core_.attach();
  }
  [[gnu::cold, gnu::noinline]] static void hand_back(Heap* borrowed) noexcept { core_.detach(borrowed); }

  [[gnu::cold, gnu::noinline]] static void attach() noexcept {
    if (departed_) return;
    int const saved_errno = errno;
    start();
    // What start() calls may allocate and so have attached this thread already.
    if (!heap_->attached()) {
      if (Heap* const heap = core_.attach()) {
        heap_ = heap;
        if (!Host::arm_thread_exit(&depart)) depart();
      }
    }
    errno = saved_errno;
  }

  // Once in a thread, which has a heap.
  [[gnu::cold, gnu::noinline]] static void depart() noexcept {
    INVARIANT(heap_->attached());
    Heap* const heap = heap_;
    heap_ = Core::unattached();
    departed_ = true;
    core_.detach(heap);
  }

  [[gnu::cold, gnu::noinline]] static void start() noexcept {
    bool const first = start_.run([] {
      TextWriter messages(&Host::write_standard_error, nullptr);
      settings_ = read_options(Host::environment(), messages);
      if (settings_.help_at_start) write_option_help(messages);
      core_.configure(settings_);
      if constexpr (!Mode::kTrustsClient || Mode::kSamples) {
        Mode::watch([](void const* address) { return core_.find(address); });
        Mode::seal();
      }
    });
    if (!first) return;
    Host::register_fork(&before_fork, &after_fork_in_parent, &after_fork_in_child);
    if (settings_.stats_at_exit != StatsReport::kOff) Host::keep_standard_error();
    if (settings_.warmup_bytes > 0) core_.warm_up(settings_.warmup_bytes);
  }

  static void before_fork() noexcept { core_.before_fork(); }
  static void after_fork_in_parent() noexcept { core_.after_fork_in_parent(); }
  static void after_fork_in_child() noexcept { core_.after_fork_in_child(); }

  // After an allocation, because starting a thread allocates; with no lock held.
  [[gnu::cold, gnu::noinline]] static void start_helper() noexcept {
    if (!core_.claim_helper()) return;
    int const saved_errno = errno;
    // Without a thread, all it would do is done on slow paths, later.
    static_cast<void>(Host::start_helper(&help_forever));
    errno = saved_errno;
  }

  [[noreturn]] static void help_forever() noexcept {
    for (;;) core_.help();
  }

  static constinit inline Core core_{};
  static constinit inline Settings settings_{};
  // Makes settings_ and core_ ready. A fork cannot come meanwhile: creating the second thread allocates.
  static constinit inline Once<StdSync, Os, LockRank::kStart> start_{};

  // protocol: counts that any thread adds to; nothing is ordered by them.
  static constinit inline std::atomic<std::uint64_t> refusals_{0}, releases_{1};

  static constinit inline thread_local Heap* heap_ = Core::unattached();
  static constinit inline thread_local bool departed_ = false;
};

}  // namespace hakmem
