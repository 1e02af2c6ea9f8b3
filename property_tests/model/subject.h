// What it owns: `Subject`, an allocator under test with its operating system and its logical threads, as one object
// whose type does not tell modes, systems and geometries apart; `SubjectOn` makes one of any instance of `Allocator`.
// Invariants: one subject of a system lives at a time; what it mapped is gone when it is.
// Thread-safety: none; logical threads are driven by one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/api/allocator.h"
#include "property_tests/faulty_os.h"
#include "property_tests/model/fresh_kernel.h"
#include "property_tests/model/violation.h"
#include "property_tests/simulated_os.h"

namespace hakmem::testing {

using FaultySimulation = FaultyOs<SimulatedOs>;

class Subject {
 public:
  static constexpr unsigned kThreads = 4;

  virtual ~Subject() = default;

  // A thread allocates only while it is attached; false: there is no memory for its heap.
  virtual bool attach(unsigned thread) = 0;
  virtual void detach(unsigned thread) = 0;
  virtual bool attached(unsigned thread) const = 0;

  // As the functions of Allocator.
  virtual void* allocate(unsigned thread, Request const& request) = 0;
  virtual void* allocate_zeroed(unsigned thread, std::size_t bytes) = 0;
  virtual void* reallocate(unsigned thread, void* block, std::size_t bytes) = 0;
  virtual void release(unsigned thread, void* block, Claim const& claim) = 0;
  virtual std::size_t usable_bytes(void* block) = 0;
  virtual void trim(unsigned thread) = 0;
  virtual std::size_t warm_up(std::size_t bytes) = 0;
  virtual void tick() = 0;
  virtual bool sweep() = 0;
  virtual void pass_fork() = 0;

  // What no correct allocator has: an invalid heap, memory that it lost, a wrong call to the system. Empty: nothing.
  virtual std::string damage(unsigned thread) = 0;
  // The same after every block was released and every thread detached.
  virtual std::string remains() = 0;

  // The system under it.
  virtual void set_plan(FaultPlan const& plan) = 0;
  virtual std::uint64_t failed() const = 0;
  virtual void advance_ms(std::uint64_t ms) = 0;
};

template <class Mode, class Os, class G, class Sync = StdSync>
class SubjectOn final : public Subject {
  using Alloc = Allocator<Mode, Os, Sync, G>;
  using Heap = typename Alloc::Heap;

 public:
  explicit SubjectOn(Settings const& settings) {
    if constexpr (std::is_same_v<Os, FaultySimulation>) SimulatedOs::reset();
    Os::reset();
    forget_the_kernel<Os>();
    allocator_ = std::make_unique<Alloc>();
    allocator_->global().space.settings = settings;
    for (Heap*& heap : heaps_) heap = Alloc::unattached();
  }
  ~SubjectOn() override {
    Os::set_plan({});
    Os::unmap_all();
  }
  SubjectOn(SubjectOn const&) = delete;
  SubjectOn& operator=(SubjectOn const&) = delete;

  bool attach(unsigned thread) override {
    if (Heap* const heap = allocator_->attach()) heaps_[thread] = heap;
    return attached(thread);
  }
  void detach(unsigned thread) override {
    Heap* const heap = heaps_[thread];
    heaps_[thread] = Alloc::unattached();
    allocator_->detach(heap);
  }
  bool attached(unsigned thread) const override { return heaps_[thread]->attached(); }

  void* allocate(unsigned thread, Request const& request) override {
    if (request.alignment <= kMinAlignment && request.kind == AllocationKind::kMalloc)
      return allocator_->allocate(heaps_[thread], request.bytes);
    if (request.alignment <= kMinAlignment) return allocator_->allocate(heaps_[thread], request.bytes, request.kind);
    return allocator_->allocate_aligned(heaps_[thread], request.bytes, request.alignment, request.kind);
  }
  void* allocate_zeroed(unsigned thread, std::size_t bytes) override {
    return allocator_->allocate_zeroed(heaps_[thread], bytes);
  }
  void* reallocate(unsigned thread, void* block, std::size_t bytes) override {
    return allocator_->reallocate(heaps_[thread], block, bytes);
  }
  void release(unsigned thread, void* block, Claim const& claim) override {
    allocator_->release(heaps_[thread], block, claim);
  }
  std::size_t usable_bytes(void* block) override { return allocator_->usable_bytes(block); }
  void trim(unsigned thread) override { allocator_->trim(heaps_[thread]); }
  std::size_t warm_up(std::size_t bytes) override { return allocator_->warm_up(bytes); }
  void tick() override { allocator_->global().tick(); }
  bool sweep() override { return allocator_->sweep(); }
  void pass_fork() override {
    allocator_->before_fork();
    allocator_->after_fork_in_parent();
  }

  std::string damage(unsigned thread) override {
    if (!allocator_->validate(heaps_[thread])) return "the heap is not valid";
    auto const books = allocator_->global().space.ledger();
    std::uint64_t const known =
        books.held_bytes + books.leftover_bytes + allocator_->global().space.arena().mapped_bytes();
    if (std::uint64_t const mapped = Os::ledger().bytes(); known != mapped)
      return "the allocator knows of " + std::to_string(known) + " bytes, but " + std::to_string(mapped) +
             " are mapped";
    if (std::string const wrong = Os::violation(); !wrong.empty()) return wrong;
    return std::is_same_v<Os, FaultySimulation> ? SimulatedOs::violation() : "";
  }

  std::string remains() override {
    allocator_->trim(Alloc::unattached());
    if (std::string const wrong = damage(0); !wrong.empty()) return wrong;
    std::uint64_t const held = allocator_->global().space.ledger().held_bytes;
    bool const rests = !Mode::kTrustsClient;  // released blocks rest in parked heaps
    return held == 0 || rests ? "" : std::to_string(held) + " bytes are still held";
  }

  void set_plan(FaultPlan const& plan) override { Os::set_plan(plan); }
  std::uint64_t failed() const override { return Os::failed(); }
  void advance_ms(std::uint64_t ms) override { Os::advance_ms(ms); }

 private:
  std::unique_ptr<Alloc> allocator_;
  Heap* heaps_[kThreads];
};

}  // namespace hakmem::testing
