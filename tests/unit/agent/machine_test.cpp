// SPDX-License-Identifier: MIT
// By what machines are told apart that have one name.
// Invariant: each test names one behaviour.
#include <gtest/gtest.h>

#include <filesystem>

#include "agent/fleet/machine.h"
#include "tests/support/temporary_folder.h"

namespace kudo {
namespace {

TEST(Machine, ContainersOfOneHostAreTwo) {
    const test::TemporaryFolder one, other; // their state; the ids and the boot are the host's
    EXPECT_NE(this_machine(one.path()).identity, this_machine(other.path()).identity);
    EXPECT_EQ(this_machine(one.path()).id, this_machine(other.path()).id);
}

TEST(Machine, StaysTheSameWhenTheAgentIsStartedAgain) {
    const test::TemporaryFolder state;
    const Machine machine = this_machine(state.path());
    EXPECT_EQ(this_machine(state.path()).identity, machine.identity);
    std::filesystem::remove(state.path() / "machine");
    EXPECT_NE(this_machine(state.path()).identity, machine.identity) << "the check above cannot fail";
}

TEST(Machine, HasAnIdentityAlsoWhereNothingCanBeStored) {
    EXPECT_EQ(this_machine("/proc/none").identity.size(), 32U);
    EXPECT_EQ(this_machine("/proc/none").identity, this_machine("/proc/none").identity);
}

TEST(Machine, AnIdentityApartIsAnotherEachTime) {
    EXPECT_NE(identity_apart("aa"), identity_apart("aa"));
}

} // namespace
} // namespace kudo
