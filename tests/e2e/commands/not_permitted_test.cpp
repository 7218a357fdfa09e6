// SPDX-License-Identifier: MIT
// The program without the capabilities it needs: what still works, and one line that names what is missing.
// Invariant: exit status 5 for what needs them, 0 for what only reads files and explains.
#include <gtest/gtest.h>

#include <algorithm>

#include "maps/document/built_in.h"
#include "maps/document/range_map.h"
#include "tests/support/host_test.h"

namespace kudo::test {
namespace {

const std::vector<std::string> nobody = {"setpriv",        "--reuid=65534",       "--regid=65534",
                                         "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"};
const std::vector<std::string> only_net_admin = {"setpriv",
                                                 "--reuid=65534",
                                                 "--regid=65534",
                                                 "--clear-groups",
                                                 "--bounding-set=-all,+net_admin",
                                                 "--inh-caps=-all,+net_admin",
                                                 "--ambient-caps=-all,+net_admin"};

class InputNotPermitted : public HostTest {
protected:
    void SetUp() override {
        HostTest::SetUp();
        if (!test_) return;
        map_ = test_->write_file("map.json", std::string(built_in_range_map_json()));
        // Where anybody may run it, wherever it was built.
        program_ = test_->folder + "/kudo-agent";
        std::filesystem::copy_file(KUDO_AGENT_PROGRAM, program_);
    }
    Outcome run_as(std::vector<std::string> user, const std::vector<std::string>& arguments) const {
        auto argv = test_->agent_argv(arguments);
        argv[0] = program_;
        user.insert(user.end(), argv.begin(), argv.end());
        return inside<Outcome>(test_->host, [&] { return run_program(user); });
    }
    void expect_not_permitted(const Outcome& outcome, const std::vector<std::string>& arguments,
                              const std::string& missing) const {
        const std::string what = testing::PrintToString(arguments) + ": " + outcome.out + outcome.err;
        EXPECT_EQ(outcome.status, 5) << what;
        EXPECT_EQ(outcome.out, "") << what;
        EXPECT_EQ(outcome.err, "kudo-agent: not permitted: missing " + missing + "; run as root\n") << what;
    }
    [[nodiscard]] std::vector<std::vector<std::string>> privileged() const {
        return {{"enable", "--region", "ca"}, {"disable"}, {"status"}, {"stats"}, TestHost::apply_arguments(map_)};
    }
    std::string map_, program_;
};

TEST_F(InputNotPermitted, NobodyIsToldWhichCapabilitiesAreMissing) {
    for (const auto& arguments : privileged())
        expect_not_permitted(run_as(nobody, arguments), arguments, "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON");
    EXPECT_FALSE(std::filesystem::exists(test_->instance.state_dir));
}

TEST_F(InputNotPermitted, NetAdminAloneIsToldOfTheOtherTwo) {
    for (const auto& arguments : privileged())
        expect_not_permitted(run_as(only_net_admin, arguments), arguments, "CAP_BPF, CAP_PERFMON");
}

TEST_F(InputNotPermitted, NobodyCannotTouchAnEnabledHost) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const auto before = test_->status();
    for (const auto& arguments : privileged())
        expect_not_permitted(run_as(nobody, arguments), arguments, "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON");
    EXPECT_EQ(test_->status(), before);
}

TEST_F(InputNotPermitted, NobodyCanExplainAndReadRangeMapsEnabledOrNot) {
    for (const bool enabled : {false, true}) {
        if (enabled) {
            ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
        }
        for (const std::vector<std::string>& arguments :
             {std::vector<std::string>{"explain", "3.123.12.129", "udp/3478"},
              {"ranges", "show"},
              {"ranges", "check", map_},
              {"ranges", "diff", map_},
              {"--help"},
              {"enable", "--help"},
              {"--version"}}) {
            const Outcome outcome = run_as(nobody, arguments);
            EXPECT_EQ(outcome.status, 0) << testing::PrintToString(arguments) << outcome.err;
            EXPECT_NE(outcome.out, "") << testing::PrintToString(arguments);
            EXPECT_EQ(outcome.err, "") << testing::PrintToString(arguments);
        }
    }
}

TEST_F(InputNotPermitted, NobodyLearnsThatTheRulesInUseMayNotBeRead) {
    ASSERT_EQ(test_->agent({"enable", "--region", "ca"}).status, 0);
    const Outcome outcome = run_as(nobody, {"ranges", "show"});
    EXPECT_NE(outcome.out.find("may not read the rules of this host"), std::string::npos) << outcome.out;
}

} // namespace
} // namespace kudo::test
