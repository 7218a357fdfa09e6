// SPDX-License-Identifier: MIT
// `firewall sync` on hosts whose rules refer to its sets.
// Invariant: what is in a set is read from `nft -j list set`, and compared with the range map by the test's own
// arithmetic.
#include "tests/e2e/firewall/fixture.h"

#include "tests/support/running_service.h"

namespace kudo::test {
namespace {

class FirewallSync : public FirewallTest {};

TEST_F(FirewallSync, LetsKudoThroughAHostThatDeniesByDefaultAndNobodyElse) {
    deny_by_default();
    enable();
    EXPECT_FALSE(sends({media_address, 3478})) << "the sets are empty";
    const auto done = sync();
    EXPECT_EQ(done.at("changed"), true);
    EXPECT_EQ(done.at("sets").size(), 8u);
    expect_only_kudo_passes();
    expect_healthy();
    const auto firewall = test_->status().at("firewall");
    EXPECT_EQ(firewall.at("sync"), true);
    EXPECT_EQ(firewall.at("rules").size(), 8u) << firewall;
    EXPECT_EQ(sync().at("changed"), false);
}

TEST_F(FirewallSync, FollowsRangeMapsOverIPv6Too) {
    enable();
    sync();
    deny_by_default();
    EXPECT_FALSE(sends({media_address6, 3478}));
    apply_map_with_ipv6();
    EXPECT_TRUE(gets_answer({media_address6, 3478}));
    EXPECT_FALSE(sends({stranger_address6, 3478}));
    expect_only_kudo_passes();
    expect_healthy();
}

TEST_F(FirewallSync, KeepsRetiringRangesUntilTheyAreWithdrawn) {
    enable();
    sync();
    deny_by_default();
    const std::string only_region = R"({"format": "kudo-range-map/1", "serial": 2022030102,
        "issued": "2022-03-02T00:00:00Z", "effective": "2022-03-02T00:00:00Z", "expires": null,
        "overrides": ["shrink"], "services": [{"name": "media", "class": "media", "regions": ["ca"],
        "ports": ["udp/3478", "tcp/443"], "ipv4": ["3.97.146.187"]}]})";
    const std::string file = test_->write_file("map.json", only_region);
    ASSERT_EQ(test_->agent({"ranges", "apply", file, "--allow-unsigned", "--grace", "2s"}).status, 0);
    EXPECT_TRUE(gets_answer({media_address, 3478})) << "withdrawn, and still honoured";
    const auto shown = test_->agent({"firewall", "show"}).out;
    EXPECT_NE(shown.find("withdrawn by the range map in effect"), std::string::npos) << shown;
    EXPECT_TRUE(eventually([&] {
        enable();
        return !sends({media_address, 3478});
    }));
    EXPECT_TRUE(gets_answer({region_address, 3478}));
    expect_healthy();
}

TEST_F(FirewallSync, HealsWhatTheAdministratorFlushed) {
    enable();
    sync();
    nft("flush ruleset");
    expect_drift("kudo4_services is not there"); // before the service, which may be faster than a look
    const RunningService service(*test_, {"--reconcile-every", "1h"});
    EXPECT_TRUE(eventually([&] { return test_->status().at("drift").empty(); })) << test_->status();
    nft("flush ruleset");
    EXPECT_TRUE(eventually([&] { return test_->status().at("drift").empty(); })) << test_->status();
    deny_by_default();
    nft("delete element inet kudo_agent kudo4_udp { 3.123.12.128/28 . 3478 }");
    EXPECT_TRUE(eventually([&] { return gets_answer({media_address, 3478}); })) << service.log();
    nft("add element inet kudo_agent kudo4_udp { 198.51.100.7 . 3478 }");
    EXPECT_TRUE(eventually([&] { return !sends({stranger_address, 3478}); })) << service.log();
    expect_healthy();
}

// Written before there were sets of one protocol. Without `meta l4proto`, which newer kernels refuse of older nftables.
TEST_F(FirewallSync, KeepsTheSetsOfBothProtocolsForTheRulesThatHaveThem) {
    enable();
    nft("table inet kudo_agent { set kudo4_services { type ipv4_addr . inet_proto . inet_service; flags interval; }; "
        "chain output { type filter hook output priority filter; policy drop; "
        "ip daddr . ip protocol . th dport @kudo4_services accept; }; }");
    EXPECT_FALSE(sends({media_address, 3478}));
    EXPECT_EQ(sync().at("problems"), nlohmann::json::array());
    EXPECT_TRUE(sends({media_address, 3478}));
    EXPECT_FALSE(sends({media_address, 3479}));
    EXPECT_FALSE(sends({stranger_address, 3478}));
    expect_healthy();
}

TEST_F(FirewallSync, AReloadOfTheRulesClosesNothing) {
    enable();
    sync();
    deny_by_default();
    for (int reload = 0; reload < 3; reload++) {
        deny_by_default();
        expect_healthy();
        EXPECT_TRUE(gets_answer({media_address, 3478}));
    }
}

TEST_F(FirewallSync, DisableLeavesNothingAndTouchesNoRule) {
    enable();
    nft("add table inet fw; add chain inet fw in { type filter hook input priority 0; }; add rule inet fw in counter");
    const std::string before = test_->in_host({"nft", "-s", "list", "ruleset"});
    sync();
    EXPECT_NE(test_->in_host({"nft", "-s", "list", "ruleset"}), before);
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_EQ(test_->in_host({"nft", "-s", "list", "ruleset"}), before);
    enable();
    EXPECT_EQ(test_->in_host({"nft", "-s", "list", "ruleset"}), before) << "sync is asked for anew";
    sync();
    EXPECT_EQ(sync({"--off"}).at("sync"), false);
    EXPECT_EQ(test_->in_host({"nft", "-s", "list", "ruleset"}), before);
    expect_healthy();
}

TEST_F(FirewallSync, DisableEmptiesASetThatRulesReferToAndNamesThem) {
    enable();
    sync();
    deny_by_default();
    const Outcome disabled = test_->agent({"disable", "--json"});
    EXPECT_EQ(disabled.status, 0) << disabled.err;
    const auto kept = nlohmann::json::parse(disabled.out).at("firewall_sets_kept").dump();
    EXPECT_NE(kept.find("inet kudo_agent kudo4_udp is empty and stays"), std::string::npos) << kept;
    EXPECT_NE(kept.find("inet kudo_agent output handle"), std::string::npos) << kept;
    EXPECT_FALSE(sends({media_address, 3478}));
    EXPECT_EQ(test_->agent({"status"}).status, 3);
    const std::string rules = test_->in_host({"nft", "list", "table", ours});
    EXPECT_NE(rules.find("@kudo6_udp accept"), std::string::npos) << rules;
    EXPECT_EQ(rules.find("set kudo4 {"), std::string::npos) << "no rule refers to it";
    EXPECT_EQ(test_->agent({"disable"}).status, 0);
    enable();
    sync();
    expect_only_kudo_passes();
}

TEST_F(FirewallSync, ASetOfAnotherTypeIsTroubleOfItsOwn) {
    nft("add table inet kudo_agent; add set inet kudo_agent kudo4 { type ether_addr; }");
    enable();
    const Outcome refused = test_->agent({"firewall", "sync"});
    EXPECT_EQ(refused.status, 4) << refused.out;
    EXPECT_NE(refused.out.find("inet kudo_agent kudo4 is not of type ipv4_addr"), std::string::npos) << refused.out;
    expect_drift("kudo4 is not of type");
    EXPECT_EQ(test_->status().at("interfaces").at(0).at("healthy"), true);
    apply_map_with_ipv6();
    EXPECT_EQ(test_->status().at("map").at("serial"), 2022030101);
    nft("delete set inet kudo_agent kudo4");
    sync();
    expect_healthy();
}

TEST_F(FirewallSync, NeedsToBeEnabled) {
    EXPECT_EQ(test_->agent({"firewall", "sync"}).status, 3);
    EXPECT_EQ(tables(), nlohmann::json::array());
}

} // namespace
} // namespace kudo::test
