// SPDX-License-Identifier: MIT
// A disk that is full or broken at every single call with which a range map is accepted.
// Invariant: the kernel judges by the old map or the new, whole; a serial never goes down; once the disk is well the
// same command does its work.
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>

#include <fmt/format.h>

#include "tests/support/host_test.h"

namespace kudo::test {
namespace {

class RangeFaults : public HostTest {
protected:
    // `ranges apply` of a map with this serial, its `at`th call to the state folder failing.
    Outcome apply(uint64_t serial, int at, int error) const {
        const std::string file = test_->write_file(
            "map.json", fmt::format(R"({{"format": "kudo-range-map/1", "serial": {}, "issued": "2022-03-01T00:00:00Z",
 "effective": "2022-03-01T00:00:00Z", "expires": null, "overrides": ["shrink"], "services": [
 {{"name": "media", "class": "media", "regions": ["ca"], "ports": ["udp/3478"], "ipv4": ["3.{}.0.0/24"]}}]}})",
                                    serial, serial % 200 + 8));
        std::vector<std::string> argv = {"env",
                                         std::string("LD_PRELOAD=") + KUDO_FAILING_CALLS,
                                         "KUDO_FAIL_BELOW=" + test_->instance.state_dir.string(),
                                         "KUDO_FAIL_COUNT=" + test_->folder + "/count",
                                         fmt::format("KUDO_FAIL_AT={}", at),
                                         fmt::format("KUDO_FAIL_WITH={}", error)};
        for (const std::string& argument : test_->agent_argv(TestHost::apply_arguments(file)))
            argv.push_back(argument);
        return inside<Outcome>(test_->host, [&] { return run_program(argv); });
    }
    [[nodiscard]] int calls() const {
        int count = -1;
        std::ifstream(test_->folder + "/count") >> count;
        return count;
    }
    [[nodiscard]] uint64_t highest() const {
        return nlohmann::json::parse(test_->agent({"ranges", "history", "--json"}).out).at("highest_serial");
    }
};

// R5 (agent/reconcile/reconcile.h).
TEST_F(RangeFaults, EveryCallThatAcceptsAMapMayFail) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    uint64_t serial = 2022050001;
    ASSERT_EQ(apply(serial, 0, EIO).status, 0);
    const int all = calls();
    ASSERT_GE(all, 8) << "a document and a state: created, written, synced, renamed, and their folders synced";
    unsigned refused = 0;
    for (const int error : {ENOSPC, EIO})
        for (int at = 1; at <= all; at++) {
            const uint64_t before = serial++;
            const Outcome outcome = apply(serial, at, error);
            const std::string what =
                fmt::format("call {} of {}, errno {}: {}{}", at, all, error, outcome.out, outcome.err);
            EXPECT_TRUE(outcome.status == 0 || outcome.status == 1) << outcome.status << what;
            refused += outcome.status == 1;
            const auto status = test_->status();
            const uint64_t now = status.at("map").at("serial");
            EXPECT_TRUE(now == before || now == serial) << now << what;
            EXPECT_GE(highest(), now) << what;
            if (outcome.status == 0) {
                EXPECT_EQ(now, serial) << what;
            }
            const Outcome again = apply(serial, 0, 0);
            EXPECT_EQ(again.status, 0) << again.err << " after " << what;
            const auto after = test_->status();
            EXPECT_EQ(after.at("map").at("serial"), serial) << what;
            EXPECT_EQ(after.at("healthy"), true) << after << what;
        }
    EXPECT_GT(refused, static_cast<unsigned>(all)) << "the calls do not fail";
    std::cout << 2 * all << " failing calls, " << refused << " refused\n";
}

} // namespace
} // namespace kudo::test
