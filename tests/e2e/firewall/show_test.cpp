// SPDX-License-Identifier: MIT
// `firewall show`: what it prints is loaded by the tool that it is for.
// Invariant: nft and iptables load it for real, ufw (--dry-run) and firewalld (offline) read it.
#include <unistd.h>

#include "tests/e2e/firewall/fixture.h"

namespace kudo::test {
namespace {

class FirewallShow : public FirewallTest {
protected:
    // An emulated machine has not every tool.
    [[nodiscard]] static bool is_there(const char* program) { return access(program, X_OK) == 0; }
    // The output in a file; throws if there is none.
    [[nodiscard]] std::string shown(const std::string& format, const std::string& name) const {
        const Outcome outcome = test_->agent({"firewall", "show", "--format", format});
        if (outcome.status != 0) throw std::runtime_error(outcome.err);
        return test_->write_file(name, outcome.out);
    }
};

TEST_F(FirewallShow, NftLetsKudoThroughATableThatDeniesByDefault) {
    apply_map_with_ipv6();
    enable();
    nft("table inet filter { chain input { type filter hook input priority 0; policy drop; iif lo accept; "
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; }; "
        "chain output { type filter hook output priority 0; policy drop; oif lo accept; "
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; }; }");
    const std::string file = shown("nft", "kudo.nft");
    test_->in_host({"nft", "-f", file});
    nft("add rule inet filter output jump kudo_out; add rule inet filter input jump kudo_in");
    expect_only_kudo_passes();
    EXPECT_TRUE(gets_answer({media_address6, 3478}));
    const std::string once = test_->in_host({"nft", "-s", "list", "ruleset"});
    test_->in_host({"nft", "-f", file});
    EXPECT_EQ(test_->in_host({"nft", "-s", "list", "ruleset"}), once);
}

TEST_F(FirewallShow, IptablesLetsKudoThroughAPolicyOfDrop) {
    if (!is_there("/usr/sbin/iptables-restore")) GTEST_SKIP() << "there is no iptables here";
    apply_map_with_ipv6();
    enable();
    const std::string file = shown("iptables", "kudo.rules");
    for (const std::string family : {"iptables", "ip6tables"}) {
        test_->in_host({family + "-restore", "--noflush", "--test", file});
        test_->in_host({family + "-restore", "--noflush", file});
        test_->in_host({family, "-A", "OUTPUT", "-j", "KUDO-OUT"});
        test_->in_host({family, "-A", "INPUT", "-j", "KUDO-IN"});
        for (const std::string chain : {"INPUT", "OUTPUT"}) {
            if (family == "ip6tables") test_->in_host({family, "-A", chain, "-p", "ipv6-icmp", "-j", "ACCEPT"});
            test_->in_host({family, "-P", chain, "DROP"});
        }
    }
    expect_only_kudo_passes();
    EXPECT_TRUE(gets_answer({media_address6, 3478}));
    EXPECT_FALSE(sends({stranger_address6, 3478}));
    const std::string once = test_->in_host({"iptables", "-S"});
    test_->in_host({"iptables-restore", "--noflush", file});
    EXPECT_EQ(test_->in_host({"iptables", "-S"}), once);
}

TEST_F(FirewallShow, UfwReadsEveryCommand) {
    if (!is_there("/usr/sbin/ufw")) GTEST_SKIP() << "there is no ufw here";
    apply_map_with_ipv6();
    enable();
    // ufw itself would write to /etc.
    const std::string folder = test_->folder + "/bin";
    test_->in_host({"mkdir", folder});
    test_->in_host({"chmod", "+x", test_->write_file("bin/ufw", "#!/bin/sh\nexec /usr/sbin/ufw --dry-run \"$@\"\n")});
    const std::string output =
        test_->in_host({"env", "PATH=" + folder + ":/usr/sbin:/usr/bin:/sbin:/bin", "sh", shown("ufw", "kudo.sh")});
    for (const char* tuple : {"allow udp 3478 3.123.12.128/28 any 0.0.0.0/0 out", "allow tcp 443 3.97.146.187 any",
                              "allow udp 3478 2001:db8:77::/48 any ::/0 out"})
        EXPECT_NE(output.find(tuple), std::string::npos) << tuple;
}

TEST_F(FirewallShow, FirewalldReadsThePolicy) {
    if (!is_there("/usr/bin/firewall-offline-cmd")) GTEST_SKIP() << "there is no firewalld here";
    apply_map_with_ipv6();
    enable();
    const std::string config = test_->folder + "/firewalld";
    test_->in_host({"cp", "-r", "/etc/firewalld", config});
    test_->in_host({"mkdir", "-p", config + "/policies"});
    ASSERT_FALSE(shown("firewalld", "firewalld/policies/kudo.xml").empty());
    const std::string checked = test_->in_host({"firewall-offline-cmd", "--system-config", config, "--check-config"});
    EXPECT_EQ(checked.find("WARNING"), std::string::npos) << checked;
    const std::string policy =
        test_->in_host({"firewall-offline-cmd", "--system-config", config, "--info-policy", "kudo"});
    for (const char* rule :
         {"ingress-zones: HOST", "egress-zones: ANY",
          R"(rule family="ipv4" destination address="3.123.12.128/28" port port="3478" protocol="udp" accept)",
          R"(rule family="ipv6" destination address="2001:db8:77::/48" port port="443" protocol="tcp" accept)"})
        EXPECT_NE(policy.find(rule), std::string::npos) << rule << "\n" << policy;
}

TEST_F(FirewallShow, JsonHasServicesPortsAndRanges) {
    apply_map_with_ipv6();
    enable();
    const auto document = nlohmann::json::parse(test_->agent({"firewall", "show", "--json"}).out);
    EXPECT_EQ(document.at("map").at("serial"), 2022030101);
    EXPECT_EQ(document.at("regions"), nlohmann::json::array({"ca"}));
    const auto& rules = document.at("rules");
    ASSERT_EQ(rules.size(), 3u) << rules;
    EXPECT_EQ(rules.at(1).at("service"), "media");
    EXPECT_EQ(rules.at(1).at("protocol"), "udp");
    EXPECT_EQ(rules.at(1).at("ports"), nlohmann::json::array({3478}));
    EXPECT_EQ(rules.at(1).at("ipv4"), nlohmann::json::array({"3.123.12.128/28"}));
    EXPECT_EQ(rules.at(1).at("state"), nullptr);
}

TEST_F(FirewallShow, NeedsARegionOrToBeEnabled) {
    EXPECT_EQ(test_->agent({"firewall", "show"}).status, 3);
    EXPECT_EQ(test_->agent({"firewall", "show", "--region", "us"}).status, 0);
    EXPECT_EQ(test_->agent({"firewall", "show", "--region", "mars"}).status, 2);
    EXPECT_EQ(test_->agent({"firewall", "show", "--format", "pf"}).status, 2);
}

} // namespace
} // namespace kudo::test
