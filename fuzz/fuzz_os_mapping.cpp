// The mapping layer on simulated pages: every prefault and huge-page policy, page size, placement, batch and failing
// call. Oracles: M1 kept ranges are aligned, whole and zero; M2 what the result claims is resident, and nothing else
// was populated, nor before the cut; M3 the books hold exactly what is mapped, and nothing stays at the end.
#include "core/os/huge.h"
#include "fuzz/scenario.h"
#include "property_tests/model/fresh_kernel.h"

namespace hakmem::fuzz {
namespace {

using testing::OsCall;
using testing::PageState;
using testing::SimulatedOs;
using Os = testing::FaultySimulation;

constexpr std::size_t kSuper = 2 * kMiB;
constexpr std::size_t kMostMapped = 128 * kMiB;
constexpr char const* kNames[] = {"map", "map", "release", "fail", "place", "limit", "retry"};

class Scenario {
 public:
  Scenario(Record const& first, unsigned seeded) : seeded_(seeded), page_((4 * kKiB) << first.slot % 3 * 2) {
    SimulatedOs::reset({.page_bytes = page_, .hugetlb = (first.shape & 1) != 0});
    Os::reset();
    testing::forget_the_kernel<Os>();
    HugetlbFallbacks<Os>::warned = true;  // one line on standard error
    set_plan({});
  }

  void perform(Record const& record) {
    switch (record.kind % std::size(kNames)) {
      case 0:
      case 1:
        map(record);
        break;
      case 2:
        if (!held_.empty()) release(record.slot % held_.size());
        break;
      case 3:
        set_plan(plan_of(record));
        break;
      case 4:
        SimulatedOs::place_next(kSuper, record.slot % 5 * page_);
        break;
      case 5:
        SimulatedOs::set_limits(record.shape & 1 ? record.value % 4096 : ~std::size_t{0},
                                record.shape & 2 ? SimulatedOs::vmas() + record.slot % 4 : ~std::size_t{0});
        break;
      default:
        leftovers_.retry();
    }
    check_books();
  }

  void finish() {
    SimulatedOs::set_limits(~std::size_t{0}, ~std::size_t{0});
    set_plan({});
    while (!held_.empty()) release(held_.size() - 1);
    while (leftovers_.ranges() != 0) require(leftovers_.retry() != 0, "a leftover cannot be unmapped");
    check_books();
    require(SimulatedOs::mapped_bytes() == 0, "memory stays mapped at the end");
  }

 private:
  static constexpr OsCall kLiars[] = {OsCall::kUnmap, OsCall::kPopulateWrite};

  void set_plan(testing::FaultPlan const& plan) { Os::set_plan(seeded_ == 0 ? plan : lying(kLiars[seeded_ - 1])); }

  void map(Record const& record) {
    std::size_t const bytes = (1 + record.slot % 16) * kSuper;
    if (SimulatedOs::mapped_bytes() + bytes > kMostMapped) return;
    auto const before = SimulatedOs::populations();
    AlignedMapping const mapping =
        map_data<Os>(nullptr, bytes, kSuper, static_cast<HugePolicy>(record.thread % 4), leftovers_);
    require(SimulatedOs::populations() == before, "pages were populated before the cut");
    require(mapping.prefix + mapping.kept + mapping.suffix == mapping.mapped, "the parts do not add up");
    require(mapping.kept == (mapping.ok() ? bytes : 0), "not as much was kept as asked for");
    if (!mapping.ok()) return;
    require(reinterpret_cast<std::uintptr_t>(mapping.base) % kSuper == 0, "a kept range is not aligned");
    held_.push_back(mapping);
    check_population(mapping, static_cast<PrefaultPolicy>(record.shape % 5), before);
  }

  void check_population(AlignedMapping const& mapping, PrefaultPolicy policy, std::uint64_t before) const {
    PrefaultResult const result = prefault<Os>({mapping.base, mapping.kept}, policy);
    std::size_t const resident = SimulatedOs::pages(PageState::kPopulated, mapping.base, mapping.kept) * page_;
    require(result.populated_bytes <= resident, "more is said to be resident than is");
    require(resident <= result.asked_bytes, "pages are resident that nobody asked for");
    require(result.status.ok() == (result.populated_bytes == result.asked_bytes), "a success that is not complete");
    require((SimulatedOs::populations() - before) * page_ == resident, "a page was populated outside, or twice");
    require(SimulatedOs::late_advices() == 0, "advice on huge pages came after pages");
  }

  void release(std::size_t number) {
    AlignedMapping const mapping = held_[number];
    held_[number] = held_.back();
    held_.pop_back();
    hakmem::release<Os>(mapping.base, mapping.kept, leftovers_);
  }

  void check_books() const {
    std::size_t kept = 0;
    for (AlignedMapping const& mapping : held_) {
      kept += mapping.kept;
      require(Os::ledger().contains(mapping.base, mapping.kept), "a kept range is not mapped");
    }
    require(Os::ledger().bytes() == kept + leftovers_.bytes(), "memory is mapped that nobody holds");
    require(SimulatedOs::mapped_bytes() == Os::ledger().bytes(), "what was unmapped is still mapped");
    if (std::string const wrong = Os::violation() + SimulatedOs::violation(); !wrong.empty())
      throw testing::Violation(wrong);
  }

  unsigned const seeded_;
  std::size_t const page_;
  Leftovers<Os> leftovers_;
  std::vector<AlignedMapping> held_;
};

std::string print(Input input) { return print_steps(input, kNames, std::size(kNames)); }

}  // namespace

Surface const surface{"os_mapping", true, &check_steps<Scenario>, 2, &print};

}  // namespace hakmem::fuzz
