#include "hardened/damage.h"

#include "hardened/pattern.h"
#include "hardened/soundness.h"

namespace hakmem::hardened {
namespace {

Damage changed(ErrorKind kind, BlockPlace const& place, std::uint64_t record, std::byte const* from,
               std::byte const* to) noexcept {
  std::byte const* const first = find_change(from, to);
  if (!first) return {};
  return {true, kind, place, record, first, static_cast<std::size_t>(find_last_change(first, to) - first) + 1};
}

// The bytes of a header that are not as they must be.
struct HeaderDamage {
  unsigned first = kHeaderBytes, last = 0;
  bool found() const noexcept { return first < kHeaderBytes; }
};
HeaderDamage compare_header(std::byte const* at, Header const& expected) noexcept {
  HeaderDamage damage;
  Header const actual = Header::load(at);
  if (actual == expected) [[likely]]
    return damage;
  auto const* const left = reinterpret_cast<unsigned char const*>(&actual);
  auto const* const right = reinterpret_cast<unsigned char const*>(&expected);
  for (unsigned i = 0; i < kHeaderBytes; ++i) {
    if (left[i] == right[i]) continue;
    if (!damage.found()) damage.first = i;
    damage.last = i;
  }
  return damage;
}

// The record of a neighbour, before and after looking at it.
class Watch {
 public:
  explicit Watch(BlockPlace const& place) noexcept
      : record_(*place.record), word_(record_.state.load(std::memory_order_acquire)) {}
  std::uint64_t word() const noexcept { return word_; }
  Facts facts() const noexcept { return Facts::from(word_); }
  bool stayed() const noexcept {
    std::atomic_thread_fence(std::memory_order_acquire);
    return record_.state.load(std::memory_order_relaxed) == word_;
  }

 private:
  BlockRecord const& record_;
  std::uint64_t const word_;
};

// Was it the block before this one that ran over? Its slack says so.
Damage overrun_of_previous(BlockPlace const& place) noexcept {
  if (place.first) return {};
  BlockPlace const before = place.previous();
  Watch const watch(before);
  if (watch.facts().state != BlockState::kLive) return {};
  Layout const layout = layout_of(before, watch.facts());
  std::byte const* const facing = std::max(layout.slack, layout.end - std::ptrdiff_t{kFacingBytes});
  Damage const damage = changed(ErrorKind::kOverflow, before, watch.word(), facing, layout.end);
  return watch.stayed() ? damage : Damage{};
}

Damage overrun_into_next(BlockPlace const& place, std::uint64_t record) noexcept {
  std::byte const* const end = place.start + place.bytes;
  if (place.tail) return changed(ErrorKind::kOverflow, place, record, end, end + kTailBytes);
  if (place.last) return {};
  BlockPlace const behind = place.next();
  Watch const watch(behind);
  Facts const facts = watch.facts();
  Damage damage;
  if (facts.state == BlockState::kLive && facts.alignment == kMinAlignment) {
    HeaderDamage const header = compare_header(behind.start, Header::of(watch.word(), behind.start));
    // Only the far end changed: that is the next block's own underflow.
    if (header.found() && header.first < kHeaderBytes / 2)
      damage = {true, ErrorKind::kOverflow, place, record, behind.start + header.first, header.last - header.first + 1};
  } else if (facts.state == BlockState::kLive) {
    damage = changed(ErrorKind::kOverflow, place, record, behind.start, behind.start + kHeaderBytes);
  } else if (facts.state == BlockState::kFree &&
             Header::load_seal(behind.start) != Header::of(watch.word(), behind.start).seal) {
    damage = {true, ErrorKind::kOverflow, place, record, behind.start, kHeaderBytes};
  }
  return watch.stayed() ? damage : Damage{};
}

Damage look_at_live(BlockPlace const& place, std::uint64_t record) noexcept {
  Facts const facts = Facts::from(record);
  Layout const layout = layout_of(place, facts);
  if (Damage const damage = changed(ErrorKind::kOverflow, place, record, layout.slack, layout.end); damage.found)
    return damage;
  if (!layout.has_header()) return {};
  HeaderDamage const header = compare_header(layout.header, Header::of(record, layout.header));
  if (Damage const damage = overrun_of_previous(place); damage.found) return damage;
  if (header.found())
    return {true, ErrorKind::kUnderflow, place, record, layout.header + header.first, header.last - header.first + 1};
  if (Damage const damage = changed(ErrorKind::kUnderflow, place, record, layout.start, layout.header); damage.found)
    return damage;
  return overrun_into_next(place, record);
}

Damage look_at_free(BlockPlace const& place, std::uint64_t record) noexcept {
  std::byte const* const from = place.start + kHeaderBytes;
  std::byte const* const end = place.start + place.bytes;
  bool const whole = is_filled_whole(place, record);
  Damage inside = changed(ErrorKind::kUseAfterFree, place, record, from, whole ? end : from + kFilledEnd);
  if (!inside.found && !whole) inside = changed(ErrorKind::kUseAfterFree, place, record, end - kFilledEnd, end);
  if (inside.found) return inside;
  if (Header::load_seal(place.start) == Header::of(record, place.start).seal) return {};
  if (Damage const damage = overrun_of_previous(place); damage.found) return damage;
  return {true, ErrorKind::kUnderflow, place, record, place.start + 8, 8};
}

constexpr unsigned kLooks = 3;

template <class Look>
Damage look_again(BlockPlace const& place, std::uint64_t record, Look look) noexcept {
  Damage damage = look(place, record);
  for (unsigned again = 1; damage.found && again < kLooks; ++again) {
    if (place.record->state.load(std::memory_order_acquire) != record) return {};
    damage = look(place, record);
  }
  if (damage.found && place.record->state.load(std::memory_order_acquire) != record) return {};
  return damage;
}

}  // namespace

Damage damage_of_live(BlockPlace const& place, std::uint64_t record) noexcept {
  if (live_is_sound(place, record)) return {};
  return look_again(place, record, look_at_live);
}

Damage damage_of_free(BlockPlace const& place, std::uint64_t record) noexcept {
  if (free_is_sound(place, record)) return {};
  return look_again(place, record, look_at_free);
}

void enclose(BlockPlace place, std::uint64_t record) noexcept {
  Layout const layout = layout_of(place, Facts::from(record));
  fill_pattern(layout.start, layout.header);
  if (layout.has_header()) Header::of(record, layout.header).store(layout.header);
  fill_pattern(layout.slack, layout.end);
  if (place.tail) fill_pattern(layout.end, layout.end + kTailBytes);
}

}  // namespace hakmem::hardened
