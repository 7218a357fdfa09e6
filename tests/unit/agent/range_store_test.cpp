// SPDX-License-Identifier: MIT
// The documents of range maps in the state directory.
// Invariant: each test names one behaviour.
#include <gtest/gtest.h>

#include "agent/state/range_store.h"
#include "tests/support/temporary_folder.h"

namespace kudo {
namespace {

TEST(RangeStore, PrunesWhatNoStateNamesAndTheEmptyFolder) {
    const test::TemporaryFolder temporary;
    const Instance instance{.bpffs = {}, .state_dir = temporary.path()};
    ASSERT_TRUE(store_range_map(instance, "0123", "{}"));
    prune_range_maps(instance, {});
    EXPECT_FALSE(std::filesystem::exists(temporary.path() / "range-maps"));
}

TEST(RangeStore, LeavesAnAdministratorsLink) {
    const test::TemporaryFolder temporary;
    const Instance instance{.bpffs = {}, .state_dir = temporary.path()};
    std::filesystem::create_directory(temporary.path() / "elsewhere");
    std::filesystem::create_directory_symlink("elsewhere", temporary.path() / "range-maps");
    DesiredState state;
    state.ranges.active.hash = "0123";
    ASSERT_TRUE(store_range_map(instance, "0123", "{}"));
    prune_range_maps(instance, state);
    EXPECT_TRUE(std::filesystem::exists(temporary.path() / "range-maps" / "0123.json"));
}

} // namespace
} // namespace kudo
