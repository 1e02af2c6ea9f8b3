// What it owns: the contract with the operating system, as a C++20 concept. The library runs on
// `Linux`; tests run the same code on a system whose calls fail on demand and on a simulated one.
// Invariants: every call reports failure as a typed `OsError`; none of them allocates, takes a
// lock of ours, or changes errno as seen by the client.
// Thread-safety: all functions may be called by any thread.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>

namespace hakmem {

// What a refused call means for the caller; the errno behind it travels along for messages.
enum class OsError : std::uint8_t {
  kNone,
  kOutOfMemory,  // ENOMEM: no memory, no address space, or vm.max_map_count reached
  kUnsupported,  // EINVAL, ENOSYS, EOPNOTSUPP: this kernel does not know the request
  kInterrupted,  // EINTR, EAGAIN, EBUSY: try again
  kBadAddress,   // EFAULT: the range cannot be populated
  kPoisoned,     // EHWPOISON: the range has broken memory
  kPermission,   // EPERM, EACCES
  kUnexpected,   // anything else: our bug, or a kernel that we do not know
};

struct OsStatus {
  OsError error = OsError::kNone;
  int code = 0;  // errno
  constexpr bool ok() const noexcept { return error == OsError::kNone; }
};

struct OsMapping {
  void* address = nullptr;  // null when refused
  OsStatus status;
  constexpr bool ok() const noexcept { return status.ok(); }
};

// What a new mapping is for; the system may treat the kinds differently.
enum class MapKind : std::uint8_t {
  kNormal,    // readable, writable, zero, populated on first touch
  kPopulate,  // the same, populated at once (MAP_POPULATE); used by measurements only
  kReserve,   // address space without access
  kHugetlb,   // from the huge-page pool; size and address are multiples of the huge-page size
};

// `Os` is stateless: all functions are static. Sizes are bytes; ranges are whole pages.
template <class Os>
concept OperatingSystem = requires(void* address, void const* const_address, std::size_t bytes, char const* text,
                                   int fd, std::atomic<std::uint32_t>& word, std::uint32_t value,
                                   void (*on_exit)(void*)) {
  // The run-time page size and the huge-page size (0: none).
  { Os::page_bytes() }
  noexcept->std::same_as<std::size_t>;
  { Os::huge_page_bytes() }
  noexcept->std::same_as<std::size_t>;
  // Whether the kernel makes huge pages of memory though nobody asked.
  { Os::gives_huge_pages() }
  noexcept->std::same_as<bool>;

  // Map near `address` (a hint, may be null); the result may lie elsewhere.
  { Os::map(address, bytes, MapKind::kNormal) }
  noexcept->std::same_as<OsMapping>;
  // Unmap. kOutOfMemory: the kernel would have to split a mapping and may not; nothing happened.
  { Os::unmap(address, bytes) }
  noexcept->std::same_as<OsStatus>;
  // Grow or shrink a mapping where it stands.
  { Os::resize(address, bytes, bytes) }
  noexcept->std::same_as<OsStatus>;
  // Move a mapping with its pages onto `to`, replacing what is mapped there; `bytes` old, new.
  { Os::move(address, bytes, bytes, address) }
  noexcept->std::same_as<OsStatus>;

  // Access rights of a range.
  { Os::protect_none(address, bytes) }
  noexcept->std::same_as<OsStatus>;
  { Os::protect_read_write(address, bytes) }
  noexcept->std::same_as<OsStatus>;
  // Makes every access to a range fault for as long as it is mapped, at the price of no mapping
  // where the kernel can; the pages are given back.
  { Os::guard(address, bytes) }
  noexcept->std::same_as<OsStatus>;

  // Whether guards have split mappings: each may then make two more.
  { Os::guards_split() }
  noexcept->std::same_as<bool>;

  // Make all pages present and writable (MADV_POPULATE_WRITE).
  { Os::populate_write(address, bytes) }
  noexcept->std::same_as<OsStatus>;
  // Write to one page without changing it.
  { Os::touch(address) }
  noexcept->std::same_as<void>;
  // Give the pages back; the range stays mapped and reads as zero.
  { Os::purge(address, bytes) }
  noexcept->std::same_as<OsStatus>;
  // Huge pages: ask for them on later faults, ask for none, make them now.
  { Os::advise_huge(address, bytes) }
  noexcept->std::same_as<OsStatus>;
  { Os::advise_no_huge(address, bytes) }
  noexcept->std::same_as<OsStatus>;
  { Os::collapse_huge(address, bytes) }
  noexcept->std::same_as<OsStatus>;
  // A name for the mapping in /proc/PID/maps, where the kernel can; no failure is of interest.
  { Os::name(address, bytes, text) }
  noexcept->std::same_as<void>;

  // Milliseconds of a monotonic clock.
  { Os::now_ms() }
  noexcept->std::same_as<std::uint64_t>;
  // How many mappings this process has (0: cannot tell; slow) and may have (0: no known limit).
  { Os::mappings() }
  noexcept->std::same_as<std::size_t>;
  { Os::mappings_max() }
  noexcept->std::same_as<std::size_t>;

  // Sleep while `word` holds `value` (may wake early), at most `ms` milliseconds where given; wake
  // one sleeper.
  { Os::wait(word, value) }
  noexcept->std::same_as<void>;
  { Os::wait_for(word, value, std::uint64_t{}) }
  noexcept->std::same_as<void>;
  { Os::wake_one(word) }
  noexcept->std::same_as<void>;
  // Tell the processor that this thread waits for another one.
  { Os::relax() }
  noexcept->std::same_as<void>;

  // Write all of a text to a file descriptor, retrying; failure is ignored (there is nowhere to
  // report it).
  { Os::write(fd, text, bytes) }
  noexcept->std::same_as<void>;
};

}  // namespace hakmem
