// Each finding of a fuzz target, by name: the input that made it known, from corpus/regressions/, and where operations
// show it better, the program written out.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "property_tests/model/operation.h"
#include "property_tests/model/sabotage.h"

namespace hakmem::testing {
namespace {

// The file is named as the test; the program says what is wrong.
void replay(std::string const& target, std::string const& name) {
  std::string const file = std::string(HAKMEM_CORPUS) + "/regressions/" + name;
  ASSERT_TRUE(std::filesystem::exists(file)) << file;
  EXPECT_EQ(std::system((std::string(HAKMEM_REPLAY) + target + " " + file + " > /dev/null").c_str()), 0) << file;
}

TEST(FuzzRegression, records_of_blocks_are_whole_pages) {
  replay("api_sequence", "records_of_blocks_are_whole_pages");
  check_program(SubjectKind{.hardened = true, .simulated = true},
                {Calloc{.thread = 1, .slot = 37, .bytes = 3524}, Free{.thread = 1, .slot = 37}, Detach{.thread = 1},
                 PurgeTick{.ms = 1000}, Trim{.thread = 0}});
}

TEST(FuzzRegression, a_path_with_a_quote_leaves_the_json_report_whole) {
  replay("report", "a_path_with_a_quote_leaves_the_json_report_whole");
}

TEST(FuzzRegression, a_path_with_control_characters_is_told_without_them) {
  replay("report", "a_path_with_control_characters_is_told_without_them");
}

TEST(FuzzRegression, an_image_with_wild_offsets_is_not_followed) {
  replay("report", "an_image_with_wild_offsets_is_not_followed");
}

TEST(FuzzRegression, a_block_for_a_full_slot_goes_back_by_its_own_thread) {
  replay("schedule", "a_block_for_a_full_slot_goes_back_by_its_own_thread");
}

TEST(FuzzRegression, a_block_is_not_asked_about_while_another_thread_frees_it) {
  replay("schedule", "a_block_is_not_asked_about_while_another_thread_frees_it");
}

TEST(FuzzRegression, a_byte_behind_a_block_without_slack) { replay("misuse", "a_byte_behind_a_block_without_slack"); }

TEST(FuzzModel, a_call_made_a_record_is_the_same_call_again) {
  for (std::size_t bytes = 0; bytes < 6 * kMiB; bytes += 1 + bytes / 64) {
    EXPECT_EQ(to_code(decode(encode_malloc(3, 63, bytes))), to_code(Malloc{.thread = 3, .slot = 63, .bytes = bytes}));
    EXPECT_EQ(to_code(decode(encode_calloc(2, 1, bytes))), to_code(Calloc{.thread = 2, .slot = 1, .bytes = bytes}));
    EXPECT_EQ(to_code(decode(encode_realloc(1, 0, bytes))), to_code(Realloc{.thread = 1, .slot = 0, .bytes = bytes}));
    for (std::size_t alignment = 1; alignment <= kMostEncodedAlignment; alignment *= 2)
      EXPECT_EQ(to_code(decode(encode_aligned(0, 9, bytes, alignment))),
                to_code(AlignedAlloc{.thread = 0, .slot = 9, .bytes = bytes, .alignment = alignment}));
  }
  EXPECT_EQ(to_code(decode(encode_free(2, 33))), to_code(Free{.thread = 2, .slot = 33}));
}

TEST(FuzzModel, a_program_prints_itself_as_the_code_that_makes_it) {
  std::vector<Operation> const operations = {AlignedAlloc{.thread = 1, .slot = 2, .bytes = 3, .alignment = 64},
                                             Free{.thread = 0, .slot = 2, .sized = true}, NoFaults{}};
  EXPECT_EQ(program_to_code({.tiny = false, .purge_delay_ms = 7}, operations),
            "check_program(SubjectKind{.hardened = false, .tiny = false, .simulated = false, .prefault = "
            "PrefaultPolicy{0}, .huge = HugePolicy{0}, .purge_delay_ms = 7, .large_cache_bytes = 8388608, "
            ".quarantine_bytes = 4096},\n"
            "              {\n"
            "                  AlignedAlloc{.thread = 1, .slot = 2, .bytes = 3, .alignment = 64, .kind = "
            "AllocationKind{0}},\n"
            "                  Free{.thread = 0, .slot = 2, .sized = true},\n"
            "                  NoFaults{},\n"
            "              });\n");
}

TEST(FuzzModel, refuses_an_allocator_that_breaks_a_promise) {
  auto const subject = sabotaged(make_subject({}), Sabotage::kNotZero);
  ReferenceHeap heap(*subject);
  EXPECT_THROW(perform(Calloc{.thread = 0, .slot = 0, .bytes = 10}, heap), Violation);
}

}  // namespace
}  // namespace hakmem::testing
