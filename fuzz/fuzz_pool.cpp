// The life of SuperSlabs in the pool, with a clock: mapped, taken, used, put back, cooled, released, warmed up, while
// system calls fail. Oracles: aligned, in the registry, one holder; a slab that is said to be zero is; the pool's lists
// are valid; the books hold exactly what is mapped; at the end all can be given back.
#include <algorithm>

#include "core/global/global.h"
#include "fuzz/scenario.h"

namespace hakmem::fuzz {
namespace {

using Os = testing::FaultySimulation;
using G = DefaultGeometry;
using C = Config<FastMode, Os, StdSync, G>;
using Super = SuperSlab<C>;

constexpr std::size_t kMostHeld = 12;
constexpr char const* kNames[] = {"take", "take", "put back", "purge", "warm up", "prepare", "pass time", "fail"};

class Scenario {
 public:
  Scenario(Record const& first, unsigned seeded) : seeded_(seeded) {
    testing::SimulatedOs::reset();
    Os::reset();
    testing::forget_the_kernel<Os>();
    global_ = std::make_unique<Global<C>>();
    global_->space.settings.prefault = static_cast<PrefaultPolicy>(first.slot % 5);
    global_->space.settings.huge = static_cast<HugePolicy>(first.thread % 3);
    set_plan({});
  }

  void perform(Record const& record) {
    switch (record.kind % std::size(kNames)) {
      case 0:
      case 1:
        if (held_.size() < kMostHeld) take();
        break;
      case 2:
        if (!held_.empty()) put_back(record.slot % held_.size());
        break;
      case 3:
        pool().purge(space(), now_ms_, record.value % 1000, record.slot % 8, record.shape % 8);
        break;
      case 4:
        pool().warm_up(space(), record.value % 5 * G::kSuperSlabBytes, now_ms_);
        break;
      case 5:
        pool().prepare_one(space(), now_ms_);
        break;
      case 6:
        now_ms_ += record.value % 1000;
        break;
      default:
        set_plan(plan_of(record));
    }
    check_all();
  }

  void finish() {
    set_plan({});
    while (!held_.empty()) put_back(0);
    while (pool().purge(space(), ~std::uint64_t{0}, 0, 0, 99) != 0) {
    }
    while (space().leftovers().ranges() != 0)
      require(space().leftovers().retry() != 0, "a leftover cannot be unmapped");
    check_all();
    require(space().ledger().held_bytes == 0, "SuperSlabs are held at the end");
  }

 private:
  static constexpr testing::OsCall kLiars[] = {testing::OsCall::kUnmap, testing::OsCall::kPurge};

  SuperSlabPool<C>& pool() { return global_->pool; }
  AddressSpace<C>& space() { return global_->space; }
  void set_plan(testing::FaultPlan const& plan) { Os::set_plan(seeded_ == 0 ? plan : lying(kLiars[seeded_ - 1])); }

  void take() {
    Super* super = pool().take_pooled(space());
    if (!super) super = pool().map_new(space());
    if (!super) return require(Os::failed() != 0, "no SuperSlab without a reason");
    require(std::find(held_.begin(), held_.end(), super) == held_.end(), "a SuperSlab has two holders");
    require(reinterpret_cast<std::uintptr_t>(super->base) % G::kSuperSlabBytes == 0, "a SuperSlab is not aligned");
    require(space().registry().find(super->base).super_slab() == super, "a SuperSlab is not in the registry");
    held_.push_back(super);
    use(super);
  }

  // Takes a slab, expects zeroes where they are promised, and leaves it dirty.
  static void use(Super* super) {
    bool zeroed = false;
    unsigned const slab = super->take_run(1, 1, true, zeroed);
    std::byte* const start = super->base + slab * G::kSlabBytes;
    for (std::size_t i = slab == 0 ? G::kReservedBytes : 0; zeroed && i < G::kSlabBytes; i += 512)
      require(start[i] == std::byte{0}, "a slab that is said to be zero is not");
    for (std::size_t i = slab == 0 ? G::kReservedBytes : 0; i < G::kSlabBytes; i += 512) start[i] = std::byte{1};
    super->return_run(1u << slab);
  }

  void put_back(std::size_t number) {
    Super* const super = held_[number];
    held_[number] = held_.back();
    held_.pop_back();
    pool().put_back(super, now_ms_);
  }

  void check_all() {
    require(pool().validate(), "the lists of the pool are not valid");
    auto const books = space().ledger();
    require(books.held_bytes + books.leftover_bytes + space().arena().mapped_bytes() == Os::ledger().bytes(),
            "memory is mapped that nobody holds");
    require(testing::SimulatedOs::mapped_bytes() == Os::ledger().bytes(), "what was unmapped is still mapped");
    if (std::string const wrong = Os::violation() + testing::SimulatedOs::violation(); !wrong.empty())
      throw testing::Violation(wrong);
  }

  unsigned const seeded_;
  std::unique_ptr<Global<C>> global_;
  std::vector<Super*> held_;
  std::uint64_t now_ms_ = 0;
};

std::string print(Input input) { return print_steps(input, kNames, std::size(kNames)); }

}  // namespace

Surface const surface{"pool", true, &check_steps<Scenario>, 2, &print};

}  // namespace hakmem::fuzz
