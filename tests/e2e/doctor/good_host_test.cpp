// SPDX-License-Identifier: MIT
// `doctor` on a host where all is well, and what it leaves behind: nothing.
#include <algorithm>
#include <iterator>
#include <set>

#include "tests/e2e/doctor/fixture.h"

namespace kudo::test {
namespace {

class DoctorGoodHost : public DoctorTest {
protected:
    // What of the host a command could change.
    [[nodiscard]] std::string traces() const {
        // Link-local addresses take a second to come.
        return host_shell("{ ip -d link show | sed 's/ state.*//'; ip address show; ip route show table all; ip rule; "
                          "nft list ruleset; tc qdisc show; sysctl -a 2>/dev/null | grep -E 'rp_filter|udp_timeout'; "
                          "ss -Hant state listening; find " +
                          test_->instance.bpffs.string() + " " + test_->instance.state_dir.string() +
                          " | sort; } | grep -v -e fe80 -e valid_lft");
    }
};

TEST_F(DoctorGoodHost, AllPassesInTimeAndNothingIsChanged) {
    const std::string before = traces();
    const Findings findings = doctor({"--teams"});
    EXPECT_EQ(findings.status, 0);
    EXPECT_EQ(findings.troubles(), std::vector<std::string>());
    EXPECT_LE(findings.seconds, 15.0);
    // Not on this host: no Wi-Fi; settings that only the machine's first network namespace shows; no load asked for.
    const std::set<std::string> may_be_skipped{"wifi_power_save", "jit", "socket_buffers", "load"};
    for (const auto& [name, finding] : findings.checks)
        EXPECT_TRUE(finding.result == "pass" || may_be_skipped.contains(name)) << finding.all;
    EXPECT_EQ(traces(), before);
}

TEST_F(DoctorGoodHost, TheTextNamesEveryCheckOnce) {
    const Outcome text = test_->agent({"doctor", "--region", "ca"});
    EXPECT_EQ(text.status, 0) << text.out << text.err;
    for (const auto& [name, finding] : doctor().checks) {
        const auto at = text.out.find("\n" + name + " ");
        EXPECT_NE(at, std::string::npos) << name << " in " << text.out;
        EXPECT_EQ(text.out.find("\n" + name + " ", at + 1), std::string::npos) << name;
    }
    EXPECT_NE(text.out.find("0 failed, 0 warned"), std::string::npos) << text.out;
}

TEST_F(DoctorGoodHost, OptionsThatAreNotGivenAreTheEnabledOnes) {
    const Outcome without = test_->agent({"doctor"});
    EXPECT_EQ(without.status, 2);
    EXPECT_NE(without.err.find("--region"), std::string::npos) << without.err;
    ASSERT_EQ(test_->agent({"enable", "--region", "ca", "--teams", "--mark", "audio=none"}).status, 0);
    const Outcome with = test_->agent({"doctor", "--json"});
    EXPECT_EQ(with.status, 0) << with.out << with.err;
    const auto document = nlohmann::json::parse(with.out);
    EXPECT_EQ(document.at("regions"), nlohmann::json({"ca"}));
    EXPECT_EQ(document.at("teams"), true);
    for (const auto& check : document.at("checks")) {
        if (check.at("name") == "teams") EXPECT_EQ(check.at("result"), "pass") << check;
        if (check.at("name") == "marks") EXPECT_EQ(check.dump().find("EF:"), std::string::npos) << check;
    }
}

TEST_F(DoctorGoodHost, WithoutPrivilegesWhatIsHiddenIsSkippedAndNothingPassesUnseen) {
    // This user may not read the applied map, and takes the built-in one.
    const Findings findings = doctor({"--server", media[0], "--server", media[1]},
                                     {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"});
    EXPECT_EQ(findings.status, 0);
    EXPECT_EQ(findings.troubles(), std::vector<std::string>());
    for (const char* name : {"privileges", "kernel", "programs", "firewall_out", "firewall_in"})
        EXPECT_EQ(findings.of(name).result, "skip") << findings.of(name).all;
    for (const char* name : {"routes", "dns", "region", "media_udp", "media_tcp", "nat", "marks", "proxy"})
        EXPECT_EQ(findings.of(name).result, "pass") << findings.of(name).all;
}

TEST_F(DoctorGoodHost, WithoutPrivilegesNobodyElsesWordsAreOnStderr) {
    std::vector<std::string> argv{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};
    std::ranges::copy(test_->agent_argv({"doctor", "--region", "ca"}), std::back_inserter(argv));
    const Outcome outcome = inside<Outcome>(test_->host, [&] { return run_program(argv); });
    EXPECT_EQ(outcome.err, "") << outcome.out;
}

TEST_F(DoctorGoodHost, WrongInputIsRefused) {
    for (const auto& [arguments, word] : std::vector<std::pair<std::vector<std::string>, std::string>>{
             {{"--region", "xx"}, "\"xx\""},
             {{"--region", "ca", "--interface", "nope0"}, "nope0"},
             {{"--region", "ca", "--server", "example.com"}, "--server"},
             {{"--region", "ca", "--load"}, "--server"},
             {{"--region", "ca", "--mark", "gold=none"}, "gold"}}) {
        std::vector<std::string> all{"doctor"};
        all.insert(all.end(), arguments.begin(), arguments.end());
        const Outcome outcome = test_->agent(all);
        EXPECT_EQ(outcome.status, 2) << outcome.err;
        EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
    }
}

} // namespace
} // namespace kudo::test
