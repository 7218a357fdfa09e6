// SPDX-License-Identifier: MIT
// The state file: what is written is read back, and nothing unknown is taken for something known.
// Invariant: each test names one behaviour.
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "agent/state/desired_state.h"
#include "agent/system/files.h"
#include "tests/support/temporary_folder.h"

namespace kudo {
namespace {

class StateFile : public ::testing::Test {
protected:
    [[nodiscard]] nlohmann::json saved() const {
        return nlohmann::json::parse(read_file(instance_.state_dir / "state.json", 1 << 20).value());
    }
    void write(const nlohmann::json& json) const { std::ofstream(instance_.state_dir / "state.json") << json; }

    test::TemporaryFolder temporary_;
    const Instance instance_{.state_dir = temporary_.path()};
};

DesiredState unusual() {
    DesiredState state;
    state.enabled = state.teams = state.xdp_generic = true;
    state.regions = {"ca", "eu"};
    state.mode = KUDO_ENFORCE;
    state.interfaces = {"eth0"};
    state.max_flows = 77;
    state.tc_hook = TcHook::Clsact;
    state.ingress = IngressHook::Xdp;
    state.marks[KUDO_TREATMENT_VIDEO] = {.priority = 0, .dscp = 12, .flags = KUDO_MARK_DSCP, .pad = 0};
    state.marks[KUDO_TREATMENT_CONTROL] = {};
    state.firewall_mark = 0x10;
    state.firewall_mark_mask = 0xf0;
    state.exact_domains = true;
    state.nat64 = {Prefix::parse("2001:db8:122::/48").value()};
    state.queues.uplink = parse_line("20mbit").value();
    state.queues.downlink = parse_line("off").value();
    state.queues.kind = QueueKind::Htb;
    state.queues.replace_qdisc = true;
    state.allow = {"tcp/22 from 203.0.113.0/24", "icmp"};
    state.lifelines = parse_lifelines({"dns=off", "ntp=10.0.0.0/8"}).value();
    state.enforcement = {.confirmed = false,
                         .deadline = 160,
                         .published = 100,
                         .last_login = 6,
                         .within = std::chrono::seconds(60),
                         .boot = "b",
                         .asked_by = {.ssh = "s", .leader = 7, .leader_started = 8, .login = 9},
                         .ssh = "t"};
    state.rehearsal = {.begin = Time(std::chrono::seconds(1)), .end = Time(std::chrono::seconds(2))};
    state.map_sources = {{"ranges.example.com:443",
                          443,
                          {Address::parse("198.51.100.80").value()},
                          {Address::parse("198.51.100.81").value()}}};
    state.resolvers = {Address::parse("10.0.0.53").value()};
    state.firewall = FirewallSync::On;
    state.mark_fallback = true;
    state.lost_marks = {{46, Time(std::chrono::seconds(3)), Address::parse("3.123.12.129").value()}};
    state.ranges.highest_serial = 9;
    return state;
}

TEST_F(StateFile, EveryOptionIsReadBack) {
    ASSERT_TRUE(save_desired_state(instance_, unusual()));
    const auto loaded = load_desired_state(instance_);
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_TRUE(is_same(*loaded, unusual()));
    EXPECT_FALSE(is_same(*loaded, DesiredState{}));
    EXPECT_EQ(loaded->marks[KUDO_TREATMENT_VIDEO].flags, KUDO_MARK_DSCP);
    EXPECT_EQ(loaded->queues, unusual().queues);
}

TEST_F(StateFile, HasTheNamesOfItsFormat) {
    ASSERT_TRUE(save_desired_state(instance_, unusual()));
    auto json = saved();
    json.erase("ranges");
    EXPECT_EQ(json, nlohmann::json::parse(R"({
        "format": "kudo-agent-state/3", "enabled": true, "disabling": "", "regions": ["ca", "eu"], "teams": true, "mode": "enforce",
        "interfaces": ["eth0"], "max_flows": 77, "ingress": "xdp", "xdp_generic": true, "tc_hook": "clsact",
        "marks": {"audio": {"priority": 6, "dscp": 46}, "video": {"dscp": 12}, "fallback": {"priority": 6, "dscp": 34},
                  "control": {}},
        "firewall_mark": 16, "firewall_mark_mask": 240, "nat64": ["2001:db8:122::/48"], "uplink": "20000000bit", "downlink": "off", "queue": "htb",
        "replace_qdisc": true, "firewall_sync": "on", "allow": ["tcp/22 from 203.0.113.0/24", "icmp"],
        "lifelines": ["dns=off", "ntp=10.0.0.0/8"],
        "enforcement": {"confirmed": false, "deadline": 160, "published": 100, "last_login": 6, "within": 60, "boot": "b", "ssh": "t",
                        "asked_by": {"ssh": "s", "leader": 7, "leader_started": 8, "login": 9}},
        "rehearsal": {"begin": "1970-01-01T00:00:01Z", "end": "1970-01-01T00:00:02Z"},
        "resolvers": ["10.0.0.53"], "exact_domains": true, "mark_fallback": true,
        "lost_marks": [{"dscp": 46, "since": "1970-01-01T00:00:03Z", "server": "3.123.12.129"}],
        "map_sources": [{"name": "ranges.example.com:443", "port": 443, "addresses": ["198.51.100.80"],
                         "left_out": ["198.51.100.81"]}]})"));
}

// Files of older versions lack them.
constexpr std::string_view later_fields[] = {
    "nat64",       "disabling", "ingress",       "allow",         "lifelines",     "enforcement", "rehearsal",
    "map_sources", "resolvers", "firewall_sync", "exact_domains", "mark_fallback", "lost_marks"};

TEST_F(StateFile, WithAnythingMissingOrUnknownIsRefused) {
    ASSERT_TRUE(save_desired_state(instance_, unusual()));
    const nlohmann::json good = saved();
    for (const auto& [name, value] : good.items()) {
        if (std::ranges::find(later_fields, name) != std::end(later_fields)) continue; // below
        nlohmann::json damaged = good;
        damaged.erase(name);
        write(damaged);
        EXPECT_FALSE(load_desired_state(instance_)) << "without " << name;
    }
    for (const auto& [name, value] : good["ranges"].items()) {
        nlohmann::json damaged = good;
        damaged["ranges"].erase(name);
        write(damaged);
        EXPECT_FALSE(load_desired_state(instance_)) << "ranges without " << name;
    }
    for (const char* name :
         {"format", "mode", "ingress", "tc_hook", "queue", "uplink", "downlink", "nat64", "lifelines", "enforcement",
          "rehearsal", "map_sources", "resolvers", "firewall_sync", "exact_domains", "mark_fallback", "lost_marks"}) {
        nlohmann::json damaged = good;
        damaged[name] = "unknown";
        write(damaged);
        EXPECT_FALSE(load_desired_state(instance_)) << name;
    }
    write(good);
    EXPECT_TRUE(load_desired_state(instance_));
}

TEST_F(StateFile, OfAnOlderVersionKnowsNoSignedDocuments) {
    ASSERT_TRUE(save_desired_state(instance_, unusual()));
    nlohmann::json json = saved();
    json["ranges"]["active"].erase("document");
    write(json);
    const auto loaded = load_desired_state(instance_);
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ(loaded->ranges.active.document, "");
}

TEST_F(StateFile, OfAnOlderVersionHasNoNat64PrefixesAndLeavesIngressToUs) {
    ASSERT_TRUE(save_desired_state(instance_, unusual()));
    nlohmann::json json = saved();
    for (const std::string_view field : later_fields)
        json.erase(std::string(field));
    write(json);
    const auto loaded = load_desired_state(instance_);
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_TRUE(loaded->allow.empty());
    EXPECT_FALSE(loaded->enforcement.confirmed);
    EXPECT_TRUE(loaded->nat64.empty());
    EXPECT_EQ(loaded->ingress, IngressHook::Auto);
    EXPECT_EQ(loaded->firewall, FirewallSync::Off);
}

TEST(IngressHook, AutoIsXdpWherePacketsAreDroppedOrXdpIsAskedFor) {
    EXPECT_FALSE(uses_xdp(IngressHook::Auto, KUDO_OBSERVE, false));
    EXPECT_FALSE(uses_xdp(IngressHook::Auto, KUDO_PRIORITISE, false));
    EXPECT_TRUE(uses_xdp(IngressHook::Auto, KUDO_ENFORCE, false));
    EXPECT_TRUE(uses_xdp(IngressHook::Auto, KUDO_PRIORITISE, true)) << "--xdp-generic";
    for (const kudo_mode mode : {KUDO_OBSERVE, KUDO_PRIORITISE, KUDO_ENFORCE}) {
        EXPECT_TRUE(uses_xdp(IngressHook::Xdp, mode, false));
        EXPECT_FALSE(uses_xdp(IngressHook::Tc, mode, false));
    }
}

} // namespace
} // namespace kudo
