// Large blocks: mapped, cached, reused, grown, shrunk, moved, zeroed, aged, while system calls fail. Oracles: aligned,
// found while they live and not after; contents stay through every move; what is said to be zero is; the bounds of the
// cache hold; the books hold exactly what is mapped.
#include <algorithm>

#include "core/global/global.h"
#include "fuzz/scenario.h"

namespace hakmem::fuzz {
namespace {

using testing::OsCall;
using Os = testing::FaultySimulation;
using G = DefaultGeometry;
using C = Config<FastMode, Os, StdSync, G>;

constexpr std::size_t kMostBytes = 64 * kMiB;
// What is looked at of a block: the same places in each, so that what one left behind is seen in the next.
constexpr std::size_t kStride = 128 * kKiB + 61;
constexpr char const* kNames[] = {"allocate", "allocate", "release", "resize", "resize", "zero", "purge", "fail"};

struct Held {
  std::byte* start;
  std::size_t bytes;
  unsigned seed;
};

class Scenario {
 public:
  Scenario(Record const& first, unsigned seeded) : seeded_(seeded) {
    testing::SimulatedOs::reset();
    Os::reset();
    testing::forget_the_kernel<Os>();
    global_ = std::make_unique<Global<C>>();
    space().settings.large_cache_bytes = std::size_t{first.slot % 32u} * kMiB;
    set_plan({});
  }

  void perform(Record const& record) {
    std::size_t const bytes = 1 + record.value % (9 * kMiB);
    unsigned const number = held_.empty() ? 0 : record.slot % static_cast<unsigned>(held_.size());
    switch (record.kind % std::size(kNames)) {
      case 0:
      case 1:
        allocate(bytes, std::size_t{16} << record.slot % 21);
        break;
      case 2:
        if (!held_.empty()) release(number, record.thread * 10);
        break;
      case 3:
      case 4:
        if (!held_.empty()) resize(number, bytes, record.thread * 10);
        break;
      case 5:
        if (!held_.empty()) zero(number);
        break;
      case 6:
        large().purge(space(), record.thread * 20, record.shape * 10, record.slot % 4);
        break;
      default:
        set_plan(plan_of(record));
    }
    check_all();
  }

  void finish() {
    set_plan({});
    while (!held_.empty()) release(0, 0);
    large().purge(space(), ~std::uint64_t{0}, 0, ~0u);
    while (space().leftovers().ranges() != 0)
      require(space().leftovers().retry() != 0, "a leftover cannot be unmapped");
    check_all();
    require(space().ledger().held_bytes == 0, "memory is held at the end");
  }

 private:
  static constexpr OsCall kLiars[] = {OsCall::kUnmap, OsCall::kPurge, OsCall::kMove};

  LargeBlocks<C>& large() { return global_->large; }
  AddressSpace<C>& space() { return global_->space; }
  LargeBlock* find(void* start) { return space().registry().find(start).large(); }
  void set_plan(testing::FaultPlan const& plan) { Os::set_plan(seeded_ == 0 ? plan : lying(kLiars[seeded_ - 1])); }
  std::size_t live() const {
    std::size_t sum = 0;
    for (Held const& block : held_) sum += block.bytes;
    return sum;
  }

  static std::byte pattern(Held const& block, std::size_t at) {
    return static_cast<std::byte>(block.seed + at * 7 + 1);
  }
  static void fill(Held const& block) {
    for (std::size_t i = 0; i < block.bytes; i += kStride) block.start[i] = pattern(block, i);
  }
  static void expect(Held const& block, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; i += kStride)
      require(block.start[i] == pattern(block, i), "the contents of a large block changed");
  }
  static void expect_zero(Held const& block) {
    for (std::size_t i = 0; i < block.bytes; i += kStride)
      require(block.start[i] == std::byte{0}, "a block that is said to be zero is not");
  }

  void allocate(std::size_t bytes, std::size_t alignment) {
    if (live() + bytes > kMostBytes) return;
    bool zeroed = false;
    auto* const start = static_cast<std::byte*>(large().allocate(space(), bytes, alignment, zeroed));
    if (!start) return require(Os::failed() != 0, "refused without a reason");
    require(reinterpret_cast<std::uintptr_t>(start) % std::max(alignment, G::kSuperSlabBytes) == 0, "misaligned");
    Held const block{start, bytes, ++seed_};
    require(find(start) && find(start)->bytes >= bytes, "a block is not in the registry, or too small");
    for (Held const& other : held_)
      require(start + bytes <= other.start || other.start + other.bytes <= start, "two blocks overlap");
    if (zeroed) expect_zero(block);
    fill(block);
    held_.push_back(block);
  }

  void release(std::size_t number, std::uint64_t now_ms) {
    Held const block = held_[number];
    held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(number));
    expect(block, block.bytes);
    large().release(space(), find(block.start), now_ms);
    require(!find(block.start), "a freed block is in the registry");
  }

  void resize(std::size_t number, std::size_t bytes, std::uint64_t now_ms) {
    Held& block = held_[number];
    if (live() + bytes > kMostBytes) return;
    void* const start = large().resize(space(), find(block.start), bytes, now_ms);
    if (!start) return expect(block, block.bytes);
    Held const moved{static_cast<std::byte*>(start), block.bytes, block.seed};
    expect(moved, std::min(block.bytes, bytes));
    require(find(start) && find(start)->bytes >= bytes, "a resized block is not in the registry, or too small");
    block = {moved.start, bytes, ++seed_};
    fill(block);
  }

  void zero(std::size_t number) {
    if (!large().zero(space(), find(held_[number].start))) return expect(held_[number], held_[number].bytes);
    expect_zero(held_[number]);
    fill(held_[number]);
  }

  void check_all() {
    require(large().validate(), "the lists of large blocks are not valid");
    auto const counts = large().counts();
    require(counts.blocks == held_.size(), "blocks are counted wrongly");
    require(counts.cached_bytes <= space().settings.large_cache_bytes, "more is cached than the bound");
    auto const books = space().ledger();
    require(books.held_bytes == counts.bytes + counts.cached_bytes, "held is not in use and cached");
    require(books.held_bytes + books.leftover_bytes + space().arena().mapped_bytes() == Os::ledger().bytes(),
            "memory is mapped that nobody holds");
    require(testing::SimulatedOs::mapped_bytes() == Os::ledger().bytes(), "what was unmapped is still mapped");
    if (std::string const wrong = Os::violation() + testing::SimulatedOs::violation(); !wrong.empty())
      throw testing::Violation(wrong);
  }

  unsigned const seeded_;
  std::unique_ptr<Global<C>> global_;
  std::vector<Held> held_;
  unsigned seed_ = 0;
};

std::string print(Input input) { return print_steps(input, kNames, std::size(kNames)); }

}  // namespace

Surface const surface{"large", true, &check_steps<Scenario>, 3, &print};

}  // namespace hakmem::fuzz
