// SPDX-License-Identifier: MIT
// Wrong command lines: what a person reads, exit status 2, and a running data path that is left alone.
// Invariant: one line on standard error that names what is wrong, nothing on standard output.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tests/support/host_test.h"
#include "tests/support/minisign_key.h"

namespace kudo::test {
namespace {

struct WrongLine {
    std::vector<std::string> arguments;
    std::vector<std::string> words; // each stands in the message
};
const WrongLine wrong_lines[] = {
    {{"enable"}, {"--region", "ca (Canada)", "cn (China)", "eu (Europe)", "us (United States)"}},
    {{"enable", "--region"}, {"--region", "takes exactly one value"}},
    {{"enable", "--region", ""}, {"--region"}},
    {{"enable", "--region", "xx"}, {"region", "\"xx\"", "ca, cn, eu, us"}},
    {{"enable", "--region", "ca,xx"}, {"region", "\"xx\"", "ca, cn, eu, us"}},
    {{"enable", "--region", "ca", "--interface", "nope0"}, {"--interface", "nope0", "no such interface", "eth0"}},
    {{"enable", "--region", "ca", "--interface", "eth0", "--interface", "nope0"}, {"--interface", "nope0", "eth0"}},
    {{"enable", "--region", "ca", "--interface", ""}, {"--interface", "empty"}},
    {{"enable", "--region", "ca", "--mode", "enforce", "--confirm-within", "0"}, {"--confirm-within", "--no-confirm"}},
    {{"enable", "--region", "ca", "--mode", "enforce", "--dry-run", "1h"}, {"--dry-run", "--mode prioritise"}},
    {{"enable", "--region", "ca", "--allow", "tcp/22"}, {"--allow", "\"tcp/22\"", "from REMOTE"}},
    {{"enable", "--region", "ca", "--lifeline", "dns"}, {"--lifeline", "dns=off"}},
    {{"enable", "--region", "ca", "--mode", "loud"}, {"--mode", "\"loud\"", "observe, prioritise, enforce"}},
    {{"enable", "--region", "ca", "--tc-hook", "foo"}, {"--tc-hook", "\"foo\"", "auto, tcx, clsact"}},
    {{"enable", "--region", "ca", "--mark", "media=dscp:99"}, {"--mark", "99", "0 to 63"}},
    {{"enable", "--region", "ca", "--mark", "gold=none"}, {"--mark", "gold", "media"}},
    {{"enable", "--region", "ca", "--firewall-mark", "zz"}, {"--firewall-mark", "zz", "VALUE/MASK"}},
    {{"enable", "--region", "ca", "now"}, {"unexpected argument", "\"now\"", "--help"}},
    {{"enable", "--regoin", "ca"}, {"unknown option --regoin", "--region"}},
    {{"enabel", "--region", "ca"}, {"unknown command", "\"enabel\"", "enable"}},
    {{"disable", "now"}, {"unexpected argument", "\"now\""}},
    {{"stats", "--frob"}, {"unknown option --frob"}},
    {{"ranges", "frob"}, {"unknown command", "frob", "apply"}},
    {{"ranges", "apply"}, {"FILE", "required"}},
    {{"ranges", "show", "--region", "zz"}, {"--region", "\"zz\"", "ca (Canada)"}},
    {{"explain"}, {"ADDRESS", "required"}},
    {{"explain", "1.2.3"}, {"\"1.2.3\"", "not an IP address"}},
    {{"explain", "*.tokbox.com"}, {"\"*.tokbox.com\"", "wildcard"}},
    {{"explain", "live..kudoway.ca"}, {"\"live..kudoway.ca\"", "label"}},
    {{"explain", "b\xc3\xbc"
                 "cher.example"},
     {"ASCII form"}},
    {{"explain", "3.7.161.1", "udp/0"}, {"\"udp/0\"", "1 to 65535"}},
    {{"--config", "/nonexistent.toml", "status"}, {"--config", "/nonexistent.toml"}},
};

class InputCommandLine : public HostTest {
protected:
    // At most the state directory itself, which is what commands lock.
    [[nodiscard]] bool has_no_state() const {
        const auto& folder = test_->instance.state_dir;
        return !std::filesystem::exists(folder) || std::filesystem::is_empty(folder);
    }
    void enable() const {
        const Outcome enabled = test_->agent({"enable", "--region", "ca"});
        ASSERT_EQ(enabled.status, 0) << enabled.err;
    }
    void expect_refused(const Outcome& outcome, const WrongLine& line) const {
        const std::string what = testing::PrintToString(line.arguments) + ": " + outcome.out + outcome.err;
        EXPECT_EQ(outcome.status, 2) << what;
        EXPECT_EQ(outcome.out, "") << what;
        EXPECT_TRUE(outcome.err.starts_with("kudo-agent: ")) << what;
        EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << what;
        for (const std::string& word : line.words)
            EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in " << what;
    }
};

// R2 (agent/reconcile/reconcile.h).
TEST_F(InputCommandLine, EveryWrongOneIsRefusedAndChangesNothing) {
    enable();
    const auto status = test_->status();
    const std::string links = test_->in_host({"ip", "-d", "link", "show"});
    for (const WrongLine& line : wrong_lines) {
        expect_refused(test_->agent(line.arguments), line);
        EXPECT_EQ(test_->status(), status) << testing::PrintToString(line.arguments);
    }
    EXPECT_EQ(test_->in_host({"ip", "-d", "link", "show"}), links) << "the programs on the interface are others";
}

TEST_F(InputCommandLine, EveryWrongOneLeavesNoTraceOnAFreshHost) {
    for (const WrongLine& line : wrong_lines) {
        expect_refused(test_->agent(line.arguments), line);
        EXPECT_TRUE(has_no_state()) << testing::PrintToString(line.arguments);
        EXPECT_FALSE(std::filesystem::exists(test_->instance.pins())) << testing::PrintToString(line.arguments);
    }
}

TEST_F(InputCommandLine, WithoutADefaultRouteAnInterfaceMustBeNamed) {
    test_->in_host({"ip", "route", "del", "default"});
    test_->in_host({"ip", "-6", "route", "del", "default"});
    const WrongLine line{{"enable", "--region", "ca"}, {"no interface has a default route", "--interface", "eth0"}};
    expect_refused(test_->agent(line.arguments), line);
    EXPECT_EQ(test_->agent({"enable", "--region", "ca", "--interface", "eth0"}).status, 0);
}

TEST_F(InputCommandLine, ABpffsThatIsNoneIsRefusedAndLeavesNoTrace) {
    for (const std::string& folder : {test_->folder, test_->folder + "/missing/deeper", std::string("/dev/null")}) {
        const std::string none = test_->folder + "/no-state-yet";
        const WrongLine line{{KUDO_AGENT_PROGRAM, "--bpffs", folder, "--state-dir", none, "enable", "--region", "ca"},
                             {"--bpffs", folder, "not a folder on a bpffs", "mount -t bpf"}};
        expect_refused(inside<Outcome>(test_->host, [&] { return run_program(line.arguments); }), line);
        EXPECT_TRUE(has_no_state()) << folder;
        EXPECT_FALSE(std::filesystem::exists(none)) << folder;
    }
}

TEST_F(InputCommandLine, SourcesWithoutAnyKeyAreTold) {
    const std::string keys = test_->folder + "/keys", drop = test_->folder + "/drop";
    std::filesystem::create_directories(keys);
    std::filesystem::create_directories(drop);
    const std::string told = "there is no key (*.pub) in " + keys;
    const Outcome without = test_->agent({"run", "--check", "--drop-folder", drop, "--keys", keys});
    EXPECT_EQ(without.status, 0) << without.err;
    EXPECT_NE(without.err.find(told), std::string::npos) << without.err;
    EXPECT_EQ(test_->agent({"run", "--check", "--keys", keys}).err.find(told), std::string::npos) << "no source";
    const MinisignKey key(keys, "publisher");
    const Outcome with = test_->agent({"run", "--check", "--drop-folder", drop, "--keys", keys});
    EXPECT_EQ(with.status, 0) << with.err;
    EXPECT_EQ(with.err.find(told), std::string::npos) << with.err;
}

TEST_F(InputCommandLine, WithoutACommandTheHelpIsShownAndTheStatusIs2) {
    for (const std::vector<std::string>& arguments : {std::vector<std::string>{}, {"ranges"}}) {
        const Outcome outcome = test_->agent(arguments);
        EXPECT_EQ(outcome.status, 2);
        EXPECT_EQ(outcome.out, "");
        EXPECT_NE(outcome.err.find("Usage: kudo-agent"), std::string::npos) << outcome.err;
    }
}

TEST_F(InputCommandLine, HelpIsNoErrorForAnyCommand) {
    for (const char* command : {"enable", "disable", "status", "stats", "explain", "ranges", "demo"}) {
        const Outcome outcome = test_->agent({command, "--help"});
        EXPECT_EQ(outcome.status, 0) << command;
        EXPECT_EQ(outcome.err, "") << command;
        EXPECT_NE(outcome.out.find("--help"), std::string::npos) << command;
    }
}

} // namespace
} // namespace kudo::test
