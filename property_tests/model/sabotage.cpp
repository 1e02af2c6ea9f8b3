#include "property_tests/model/sabotage.h"

#include <cerrno>
#include <utility>

namespace hakmem::testing {
namespace {

class Saboteur final : public Subject {
 public:
  Saboteur(std::unique_ptr<Subject> subject, Sabotage how) : subject_(std::move(subject)), how_(how) {}

  bool attach(unsigned thread) override { return subject_->attach(thread); }
  void detach(unsigned thread) override { subject_->detach(thread); }
  bool attached(unsigned thread) const override { return subject_->attached(thread); }

  void* allocate(unsigned thread, Request const& request) override {
    ++requests_;
    if (how_ == Sabotage::kTwice && last_ && requests_ % 4 == 0) return last_;
    if (how_ == Sabotage::kRefuses && requests_ % 4 == 0) return nullptr;
    bool const late = how_ == Sabotage::kMisaligned && request.alignment > kMinAlignment;
    if (!late) return last_ = subject_->allocate(thread, request);
    void* const block =
        subject_->allocate(thread, {request.bytes + request.alignment, request.alignment, request.kind});
    return block ? static_cast<std::byte*>(block) + kMinAlignment : nullptr;
  }
  void* allocate_zeroed(unsigned thread, std::size_t bytes) override {
    void* const block = subject_->allocate_zeroed(thread, bytes);
    if (how_ == Sabotage::kNotZero && block && bytes != 0) static_cast<std::byte*>(block)[bytes - 1] = std::byte{1};
    return block;
  }
  void* reallocate(unsigned thread, void* block, std::size_t bytes) override {
    void* const moved = subject_->reallocate(thread, block, bytes);
    if (how_ == Sabotage::kLosesContents && moved && moved != block) *static_cast<std::byte*>(moved) ^= std::byte{1};
    return moved;
  }
  void release(unsigned thread, void* block, Claim const& claim) override {
    if (how_ == Sabotage::kNeverFreed) return;
    if (last_ == block) last_ = nullptr;
    subject_->release(thread, block, claim);
    if (how_ == Sabotage::kChangesErrno) errno = EAGAIN;
    if (how_ == Sabotage::kWritesElsewhere && last_) *static_cast<std::byte*>(last_) ^= std::byte{1};
  }
  std::size_t usable_bytes(void* block) override { return subject_->usable_bytes(block); }
  void trim(unsigned thread) override { subject_->trim(thread); }
  std::size_t warm_up(std::size_t bytes) override { return subject_->warm_up(bytes); }
  void tick() override { subject_->tick(); }
  bool sweep() override { return subject_->sweep(); }
  void pass_fork() override { subject_->pass_fork(); }
  std::string damage(unsigned thread) override { return subject_->damage(thread); }
  std::string remains() override { return subject_->remains(); }
  void set_plan(FaultPlan const& plan) override { subject_->set_plan(plan); }
  std::uint64_t failed() const override { return subject_->failed(); }
  void advance_ms(std::uint64_t ms) override { subject_->advance_ms(ms); }

 private:
  std::unique_ptr<Subject> const subject_;
  Sabotage const how_;
  unsigned requests_ = 0;
  void* last_ = nullptr;
};

}  // namespace

std::unique_ptr<Subject> sabotaged(std::unique_ptr<Subject> subject, Sabotage how) {
  if (how == Sabotage::kNone) return subject;
  return std::make_unique<Saboteur>(std::move(subject), how);
}

}  // namespace hakmem::testing
