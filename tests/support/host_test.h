// SPDX-License-Identifier: MIT
// The fixture of the end-to-end tests: a TestHost of its own for every test.
// Invariant: a test whose host cannot be built is skipped with the reason, which continuous integration takes as a
// failure.
#pragma once

#include <gtest/gtest.h>

#include <optional>

#include "tests/support/test_host.h"

namespace kudo::test {

class HostTest : public testing::Test {
protected:
    void SetUp() override {
        auto built = TestHost::build();
        if (!built) GTEST_SKIP() << built.error().message;
        test_.emplace(std::move(*built));
    }
    std::optional<TestHost> test_;
};

} // namespace kudo::test
