// SPDX-License-Identifier: MIT
// By which interfaces KUDO is reached, by the routes of a private network namespace.
// Invariant: the kernel is asked; nothing is sent.
#include <gtest/gtest.h>

#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include <fmt/format.h>

#include "agent/netlink/link_events.h"
#include "agent/state/last_interfaces.h"
#include "agent/state/wanted_interfaces.h"
#include "agent/system/files.h"
#include "maps/base/text.h"
#include "maps/document/built_in.h"
#include "tests/support/patience.h"
#include "tests/support/private_network.h"
#include "tests/support/process.h"
#include "tests/support/temporary_folder.h"

namespace kudo::test {
namespace {

constexpr const char* media_range = "3.123.12.128/28";

using Names = std::vector<std::string>;

// v0 and v2 are lines to somewhere, v0 has the default routes.
class WantedByRoutes : public testing::Test {
protected:
    void SetUp() override {
        if (!network_.why_not().empty()) GTEST_SKIP() << network_.why_not();
        for (const char* line :
             {"link set dev lo up", "link add v0 type veth peer name v1", "link add v2 type veth peer name v3",
              "address add 10.1.0.2/24 dev v0", "address add 10.2.0.2/24 dev v2",
              "-6 address add fd01::2/64 dev v0 nodad", "-6 address add fd02::2/64 dev v2 nodad", "link set dev v0 up",
              "link set dev v1 up", "link set dev v2 up", "link set dev v3 up", "route add default via 10.1.0.1",
              "-6 route add default via fd01::1"})
            ip(line);
        desired_.regions = {"ca"};
    }

    static void ip(const std::string& line) {
        std::vector<std::string> argv{"ip"};
        for (const std::string_view word : split(line, ' '))
            argv.emplace_back(word);
        const Outcome outcome = run_program(argv);
        if (outcome.status != 0) throw std::runtime_error("ip " + line + ": " + outcome.err);
    }
    static void batch(const std::string& file) {
        const Outcome outcome = run_program({"ip", "-batch", file});
        if (outcome.status != 0) throw std::runtime_error("ip -batch: " + outcome.err);
    }

    WantedInterfaces find() const {
        auto wanted = find_wanted_interfaces(desired_, built_in_range_map(), folder_.path(), false);
        if (!wanted) throw std::runtime_error(wanted.error().message);
        return std::move(*wanted);
    }
    Names present() const {
        Names names;
        std::ranges::transform(find().present, std::back_inserter(names), &Interface::name);
        return names;
    }
    std::string note_of(const std::string& interface) const {
        const auto wanted = find();
        for (const Interface& one : wanted.present)
            if (const auto note = wanted.notes.find(one.index); one.name == interface && note != wanted.notes.end())
                return note->second;
        return {};
    }
    Names route_to(const std::string& service, Family family = Family::IPv4) const {
        for (const ServiceRoute& route : find().routes)
            if (route.service == service && route.family == family) return route.interfaces;
        return {"not mentioned"};
    }

    PrivateNetwork network_;
    TemporaryFolder folder_;
    DesiredState desired_;
};

TEST_F(WantedByRoutes, ADefaultRouteLeadsToEveryService) {
    EXPECT_EQ(present(), Names{"v0"});
    EXPECT_EQ(route_to("media"), Names{"v0"});
    EXPECT_EQ(route_to("region-ca"), Names{"v0"});
    EXPECT_EQ(route_to("media", Family::IPv6), Names{"not mentioned"});
    EXPECT_EQ(find().unwatched, Names{});
}

TEST_F(WantedByRoutes, BeforeTheNetworkIsUpThoseOfBeforeCount) {
    ip("link set dev v0 down");
    ip("link set dev v2 down");
    EXPECT_EQ(present(), Names{});
    const auto wanted = find_wanted_interfaces(desired_, built_in_range_map(), folder_.path(), false, {"v0", "gone"});
    ASSERT_TRUE(wanted) << wanted.error().message;
    EXPECT_FALSE(wanted->routes_tell);
    ASSERT_EQ(wanted->present.size(), 1U);
    EXPECT_EQ(wanted->present[0].name, "v0");
    ASSERT_EQ(wanted->warnings.size(), 1U);
    EXPECT_NE(wanted->warnings[0].find("attached as before: v0"), std::string::npos) << wanted->warnings[0];
    // What an administrator asks for needs a route.
    EXPECT_FALSE(find_wanted_interfaces(desired_, built_in_range_map(), folder_.path(), true, {"v0"}));
}

TEST_F(WantedByRoutes, WhereARouteTellsThoseOfBeforeDoNotCount) {
    const auto wanted = find_wanted_interfaces(desired_, built_in_range_map(), folder_.path(), false, {"v2"});
    ASSERT_TRUE(wanted) << wanted.error().message;
    EXPECT_TRUE(wanted->routes_tell);
    ASSERT_EQ(wanted->present.size(), 1U);
    EXPECT_EQ(wanted->present[0].name, "v0");
}

TEST(LastInterfaces, AreKeptUntilTheyAreForgotten) {
    const TemporaryFolder folder;
    const Instance instance{.state_dir = folder.path()};
    EXPECT_EQ(last_interfaces(instance), Names{});
    ASSERT_TRUE(note_last_interfaces(instance, {{.name = "eth0.100"}, {.name = "wlan0"}}));
    EXPECT_EQ(last_interfaces(instance), (Names{"eth0.100", "wlan0"}));
    forget_last_interfaces(instance);
    EXPECT_EQ(last_interfaces(instance), Names{});
}

TEST(LastInterfaces, WhatIsNoListOfNamesIsNone) {
    const TemporaryFolder folder;
    const Instance instance{.state_dir = folder.path()};
    for (const char* text : {"", "{", "{\"eth0\": 1}", "[1, null]"}) {
        ASSERT_TRUE(replace_file(instance.last_interfaces(), text));
        EXPECT_EQ(last_interfaces(instance), Names{}) << text;
    }
    std::filesystem::remove(instance.last_interfaces());
    ASSERT_TRUE(replace_file(folder.path() / "elsewhere", "[\"eth0\"]"));
    std::filesystem::create_symlink(folder.path() / "elsewhere", instance.last_interfaces());
    EXPECT_EQ(last_interfaces(instance), Names{});
}

TEST_F(WantedByRoutes, AnEncapsulationThatNobodyKnowsIsPassedOver) {
    ip("-6 route add fd99::/64 encap seg6 mode encap segs fd01::1 dev v0");
    EXPECT_EQ(present(), Names{"v0"});
}

TEST_F(WantedByRoutes, ASecondUplinkOfAHigherMetricIsAttachedAsWell) {
    ip("route add default via 10.2.0.1 metric 500");
    EXPECT_EQ(present(), (Names{"v0", "v2"}));
    EXPECT_EQ(route_to("media"), Names{"v0"});
}

TEST_F(WantedByRoutes, ASecondUplinkOverIPv6Too) {
    ip("-6 route add default via fd02::1 metric 5000");
    EXPECT_EQ(present(), (Names{"v0", "v2"}));
}

TEST_F(WantedByRoutes, AnUplinkThatOnlyHasIPv6Counts) {
    ip("route del default");
    EXPECT_EQ(present(), Names{"v0"});
    EXPECT_EQ(route_to("media"), Names{});
    EXPECT_EQ(route_to("media", Family::IPv6), Names{"v0"}); // behind a NAT64
}

TEST_F(WantedByRoutes, TwoHalvesOfADefaultRouteOverATunnel) {
    ip("route add 0.0.0.0/1 via 10.2.0.1");
    ip("route add 128.0.0.0/1 via 10.2.0.1");
    EXPECT_EQ(present(), (Names{"v0", "v2"}));
    EXPECT_EQ(route_to("media"), Names{"v2"});
}

TEST_F(WantedByRoutes, AVpnWithATableAndARule) { // as wg-quick does it
    ip("route add default dev v2 table 51820");
    ip("rule add not fwmark 51820 table 51820");
    ip("rule add table main suppress_prefixlength 0");
    EXPECT_EQ(present(), (Names{"v0", "v2"}));
    EXPECT_EQ(route_to("media"), Names{"v2"});
}

TEST_F(WantedByRoutes, ARuleForOneServicesPort) {
    ip("route add default via 10.2.0.1 table 7");
    ip("rule add ipproto udp dport 3478 table 7");
    EXPECT_EQ(route_to("media"), (Names{"v0", "v2"}));
    EXPECT_EQ(route_to("region-ca"), Names{"v0"}); // TCP only
}

TEST_F(WantedByRoutes, ARouteToOneRangeOnly) {
    ip(fmt::format("route add {} via 10.2.0.1", media_range));
    EXPECT_EQ(present(), (Names{"v0", "v2"}));
    EXPECT_EQ(route_to("media"), (Names{"v0", "v2"}));
}

TEST_F(WantedByRoutes, RoutingByTheSourceAddress) {
    ip("route add default via 10.2.0.1 table 7");
    ip("rule add from 10.2.0.2 table 7");
    EXPECT_EQ(present(), (Names{"v0", "v2"}));
    EXPECT_EQ(route_to("media"), Names{"v0"});
}

TEST_F(WantedByRoutes, ClientsThatARuleSendsAnotherWay) {
    for (const char* line : {"link add lan0 type veth peer name lan1", "address add 192.168.1.1/24 dev lan0",
                             "link set dev lan0 up", "link set dev lan1 up", "route add default via 10.2.0.1 table 7"})
        ip(line);
    for (const char* rule : {"iif lan0", "from 192.168.1.0/24"}) {
        ASSERT_EQ(run_program({"sysctl", "-w", "net.ipv4.ip_forward=0"}).status, 0);
        ip(fmt::format("rule add {} table 7", rule));
        EXPECT_EQ(present(), Names{"v0"}) << rule << ": it does not forward";
        ASSERT_EQ(run_program({"sysctl", "-w", "net.ipv4.ip_forward=1"}).status, 0);
        EXPECT_EQ(present(), (Names{"v0", "v2"})) << rule;
        EXPECT_EQ(route_to("media"), Names{"v0"}) << "this host's own";
        ip(fmt::format("rule del {} table 7", rule));
        EXPECT_EQ(present(), Names{"v0"});
    }
    ip("-6 route add default via fd02::1 table 7");
    ip("-6 address add fd05::1/64 dev lan0 nodad");
    ip("-6 rule add iif lan0 table 7");
    EXPECT_EQ(present(), (Names{"v0", "v2"})) << "over IPv6";
}

TEST_F(WantedByRoutes, APacketThatARuleSendsAnotherWayByItsMark) {
    ip("route add default via 10.2.0.1 table 7");
    ip("rule add fwmark 0x20/0xf0 table 7");
    EXPECT_EQ(present(), (Names{"v0", "v2"}));
    EXPECT_EQ(route_to("media"), Names{"v0"});
}

TEST_F(WantedByRoutes, SeveralNextHops) {
    ip("route replace default nexthop via 10.1.0.1 dev v0 nexthop via 10.2.0.1 dev v2");
    EXPECT_EQ(route_to("media"), (Names{"v0", "v2"}));
}

TEST_F(WantedByRoutes, NextHopObjectsAndGroupsOfThem) {
    ASSERT_EQ(run_program({"sysctl", "-w", "net.ipv4.nexthop_compat_mode=0"}).status, 0);
    ip("nexthop add id 1 via 10.1.0.1 dev v0");
    ip("nexthop add id 2 via 10.2.0.1 dev v2");
    ip("nexthop add id 3 group 1/2");
    ip("nexthop add id 4 via fd02::1 dev v2");
    ip("route replace default nhid 3");
    ip("-6 route replace default nhid 4");
    EXPECT_EQ(present(), (Names{"v0", "v2"}));
    EXPECT_EQ(route_to("media"), (Names{"v0", "v2"}));
    ip("nexthop add id 5 blackhole");
    ip("route replace default nhid 5");
    EXPECT_EQ(route_to("media"), Names{});
}

TEST_F(WantedByRoutes, RoutesThatRefuseLeadNowhere) {
    for (const char* kind : {"unreachable", "blackhole", "prohibit"}) {
        ip(fmt::format("route replace {} default", kind));
        ip(fmt::format("-6 route replace {} default metric 1", kind));
        EXPECT_EQ(route_to("media"), Names{}) << kind;
    }
}

TEST_F(WantedByRoutes, AnAddressOfThisHostLeadsNowhere) {
    ip("address add 3.97.146.187/32 dev lo"); // all of region-ca
    EXPECT_EQ(route_to("region-ca", Family::IPv6), Names{"v0"});
    EXPECT_EQ(present(), Names{"v0"});
}

TEST_F(WantedByRoutes, ARouteIntoTheLoopbackInterfaceIsNoUplink) {
    ip("route replace default dev lo");
    ip("-6 route del default");
    EXPECT_EQ(present(), Names{});
    desired_.interfaces = {"lo"};
    EXPECT_EQ(present(), Names{"lo"});
}

TEST_F(WantedByRoutes, WithoutARouteThereIsAWarningAndNothingElse) {
    ip("route del default");
    ip("-6 route del default");
    const auto wanted = find();
    EXPECT_TRUE(wanted.present.empty());
    ASSERT_EQ(wanted.warnings.size(), 1U);
    EXPECT_EQ(route_to("media"), Names{});
    const auto refused = find_wanted_interfaces(desired_, built_in_range_map(), folder_.path(), true);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::BadInput);
}

TEST_F(WantedByRoutes, WhatLeavesByAnInterfaceThatIsNotNamedIsTold) {
    ip("route add 0.0.0.0/1 via 10.2.0.1");
    ip("route add 128.0.0.0/1 via 10.2.0.1");
    desired_.interfaces = {"v0"};
    EXPECT_EQ(present(), Names{"v0"});
    EXPECT_EQ(find().unwatched,
              Names{"KUDO's media, region-ca are sent through v2, which is not watched; add --interface v2"});
}

TEST_F(WantedByRoutes, ARouteToAQuarterOfARangeIsFollowedAndTold) {
    ip("route add 3.123.12.140/30 via 10.2.0.1"); // of 3.123.12.128/28
    EXPECT_EQ(present(), (Names{"v0", "v2"}));
    EXPECT_EQ(route_to("media"), (Names{"v0", "v2"}));
    desired_.interfaces = {"v0"};
    EXPECT_EQ(find().unwatched, Names{"KUDO's media is sent through v2, which is not watched; add --interface v2"});
}

TEST_F(WantedByRoutes, AMacvlanIsSeenOnItsInterface) {
    ip("link add link v2 name m2 type macvlan");
    ip("link set dev m2 up");
    ip("route replace default dev m2");
    desired_.interfaces = {"v2"};
    EXPECT_EQ(find().unwatched, Names{});
    desired_.interfaces = {"m2", "v2"};
    EXPECT_EQ(note_of("m2"), "its packets pass v2 as well, which is watched too: they are counted twice");
    EXPECT_EQ(note_of("v2"), "");
}

// br0 over v2 and p4; the router is behind v2.
class WantedOfBridge : public WantedByRoutes {
protected:
    void SetUp() override {
        WantedByRoutes::SetUp();
        if (IsSkipped()) return;
        for (const char* line :
             {"link add br0 type bridge", "address flush dev v2", "link set dev v2 master br0",
              "link add p4 type veth peer name p5", "link set dev p5 up", "link set dev p4 master br0 up",
              "address add 10.2.0.2/24 dev br0", "link set dev br0 up", "route replace default via 10.2.0.1"})
            ip(line);
    }
    static void learn(const std::string& port) {
        ip("neigh replace 10.2.0.1 lladdr 02:00:00:00:00:99 dev br0");
        ASSERT_EQ(run_program({"bridge", "fdb", "replace", "02:00:00:00:00:99", "dev", port, "master"}).status, 0);
    }
    Names unwatched(Names interfaces) {
        desired_.interfaces = std::move(interfaces);
        return find().unwatched;
    }
    static constexpr const char* past = "a bridge: what hosts behind its ports send goes past it; ";
};

TEST_F(WantedOfBridge, IsSeenOnThePortTowardsKudo) {
    learn("v2");
    EXPECT_EQ(unwatched({"v2"}), Names{}) << "whatever other ports there are";
    EXPECT_EQ(unwatched({"br0"}), Names{});
    EXPECT_EQ(unwatched({"p4"}),
              Names{"KUDO's media, region-ca are sent through br0, which is not watched; add --interface v2"});
}

TEST_F(WantedOfBridge, IsBelievedToBeSeenOnTheNamedPortUntilThePortIsKnown) {
    EXPECT_EQ(unwatched({"p4"}), Names{});
    EXPECT_EQ(unwatched({"v0"}),
              Names{"KUDO's media, region-ca are sent through br0, which is not watched; add --interface br0"});
    learn("v2");
    EXPECT_EQ(unwatched({"p4"}).size(), 1U);
}

TEST_F(WantedOfBridge, SaysWhatGoesPastIt) {
    EXPECT_EQ(present(), (Names{"v0", "br0"}));
    EXPECT_EQ(note_of("br0"),
              past + std::string("name its port towards KUDO (--interface) in its place, which sees all"));
    learn("v2");
    EXPECT_EQ(note_of("br0"), past + std::string("--interface v2 in its place sees all"));
    desired_.interfaces = {"br0", "v2"};
    EXPECT_EQ(note_of("br0"), "its packets pass v2 as well, which is watched too: they are counted twice");
    desired_.interfaces = {"v2"};
    EXPECT_EQ(note_of("v2"), "");
}

TEST_F(WantedOfBridge, OfOnePortHasNobodyBehindIt) {
    ip("link set dev p4 nomaster");
    EXPECT_EQ(present(), (Names{"v0", "br0"}));
    EXPECT_EQ(note_of("br0"), "");
    EXPECT_EQ(unwatched({"v2"}), Names{});
}

TEST_F(WantedOfBridge, IsNotCountedTwiceForARouteThatWasLeftOnItsPort) {
    ip("route add default via 10.2.0.1 dev v2 onlink metric 9");
    ip("-6 route add default via fe80::1 dev v2 metric 9");
    EXPECT_EQ(present(), (Names{"v0", "br0"}));
}

TEST_F(WantedOfBridge, ThatFiltersVlansIsFollowedInItsFirst) {
    const Outcome filters = run_program({"ip", "link", "set", "dev", "br0", "type", "bridge", "vlan_filtering", "1"});
    if (filters.status != 0) return; // a kernel without that; Debian's have it
    ip("neigh replace 10.2.0.1 lladdr 02:00:00:00:00:99 dev br0");
    ASSERT_EQ(run_program({"bridge", "fdb", "replace", "02:00:00:00:00:99", "dev", "v2", "master", "vlan", "1"}).status,
              0);
    EXPECT_EQ(unwatched({"p4"}).size(), 1U);
    EXPECT_EQ(unwatched({"v2"}), Names{});
}

TEST_F(WantedByRoutes, AnAlternativeNameIsAName) {
    ip("link property add dev v2 altname the-second.line");
    desired_.interfaces = {"the-second.line"};
    EXPECT_EQ(present(), Names{"v2"});
    EXPECT_EQ(find().warnings, Names{});
    desired_.interfaces = {"the-second.line", "v2"};
    EXPECT_EQ(present(), Names{"v2"}) << "once";
}

TEST_F(WantedByRoutes, ARenamedInterfaceIsStillMeantAndANewOneTakesTheNameOver) {
    ip("link add eth0.100 type veth peer name v5"); // dots, which a bpffs does not take
    desired_.interfaces = {"eth0.100"};
    ASSERT_TRUE(remember_names(find(), folder_.path()));
    ip("link set dev eth0.100 name w0");
    EXPECT_EQ(present(), Names{"w0"});
    EXPECT_EQ(find().warnings, Names{"eth0.100 is now called w0"});
    ASSERT_TRUE(remember_names(find(), folder_.path()));
    EXPECT_EQ(present(), Names{"w0"}) << "still";

    ip("link add eth0.100 type veth peer name v7");
    EXPECT_EQ(present(), Names{"eth0.100"});
    ASSERT_TRUE(remember_names(find(), folder_.path()));
    ip("link del eth0.100");
    EXPECT_EQ(find().missing, Names{"eth0.100"}) << "w0 no longer is";
}

TEST_F(WantedByRoutes, WhatIsNoLongerNamedIsForgotten) {
    desired_.interfaces = {"v2"};
    ASSERT_TRUE(remember_names(find(), folder_.path()));
    desired_.interfaces = {};
    ASSERT_TRUE(remember_names(find(), folder_.path()));
    ip("link set dev v2 down"); // before Linux 6.2 none that is up is renamed
    ip("link set dev v2 name w2");
    desired_.interfaces = {"v2"};
    EXPECT_EQ(find().missing, Names{"v2"});
}

double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

TEST_F(WantedByRoutes, HundredsOfThousandsOfRoutesCostNothing) {
    const double before = cpu_seconds();
    find();
    const double with_few = cpu_seconds() - before;
    std::string lines;
    for (int route = 0; route < 300'000; route++)
        lines +=
            fmt::format("route add 11.{}.{}.{}/30 via 10.2.0.1\n", route >> 14, (route >> 6) & 255, (route & 63) * 4);
    const std::string file = folder_.path() / "routes";
    std::ofstream(file) << lines;
    batch(file);
    const double begin = cpu_seconds();
    EXPECT_EQ(present(), Names{"v0"});
    const double with_many = cpu_seconds() - begin;
    RecordProperty("milliseconds", fmt::format("{:.1f}, {:.1f} without the routes", with_many * 1e3, with_few * 1e3));
    EXPECT_LT(with_many, patient(0.05));
}

TEST_F(WantedByRoutes, AnInterfaceWithThousandsOfAddressesCostsNoMoreThanOthers) {
    std::string lines;
    for (int address = 0; address < 4000; address++)
        lines += fmt::format("address add 10.9.{}.{}/32 dev v2\n", address >> 8, address & 255);
    const std::string file = folder_.path() / "addresses";
    std::ofstream(file) << lines;
    batch(file);
    ASSERT_EQ(run_program({"sysctl", "-w", "net.ipv4.ip_forward=1"}).status, 0);
    const double begin = cpu_seconds();
    EXPECT_EQ(present(), Names{"v0"});
    EXPECT_LT(cpu_seconds() - begin, patient(0.1));
}

class RouteEvents : public WantedByRoutes {
protected:
    void SetUp() override {
        WantedByRoutes::SetUp();
        if (IsSkipped()) return;
        wait_for_carriers();
        auto events = LinkEvents::open();
        ASSERT_TRUE(events) << events.error().message;
        events_.emplace(std::move(*events));
        events_->set_ranges(routed_ranges(desired_.compile_options(), built_in_range_map()));
        events_->take();
    }
    // The kernel tells of a carrier some time after it is there: nothing of that is to come any more.
    static void wait_for_carriers() {
        const auto end = std::chrono::steady_clock::now() + patient(std::chrono::seconds(5));
        for (const char* line : {"v0", "v1", "v2", "v3"})
            while (run_program({"ip", "link", "show", "dev", line}).out.find("state UP") == std::string::npos &&
                   std::chrono::steady_clock::now() < end)
                std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    bool wakes(const std::string& line) {
        ip(line);
        return events_->take();
    }
    std::optional<LinkEvents> events_;
};

TEST_F(RouteEvents, OnlyWhatKudosPacketsMayTakeWakes) {
    for (const char* foreign : {"route add 10.9.0.0/16 via 10.2.0.1", "-6 route add fd99::/64 via fd02::1",
                                "address add 10.3.0.2/24 dev v2", "-6 address add fd03::2/64 dev v2 nodad",
                                "route add 3.123.12.112/28 via 10.2.0.1", "route add 3.123.12.144/28 via 10.2.0.1",
                                "route del 10.9.0.0/16", "route add 2.0.0.0/8 via 10.2.0.1 table 7"})
        EXPECT_FALSE(wakes(foreign)) << foreign;
    for (const char* line :
         {"route add 3.123.12.128/28 via 10.2.0.1", "route add 3.123.12.131 via 10.2.0.1",
          "route add 3.123.0.0/16 via 10.2.0.1", "route add default via 10.2.0.1 metric 9",
          "route del default metric 9", "route add 0.0.0.0/1 via 10.2.0.1 table 7",
          "-6 route add 64:ff9b::/96 via fd02::1", "-6 route add default via fd02::1 metric 2000",
          "rule add from 10.2.0.2 table 7", "-6 rule add iif lo table 7", "nexthop add id 1 via 10.1.0.1 dev v0",
          "link add v8 type veth peer name v9", "link set dev v8 name w8", "link del w8"})
        EXPECT_TRUE(wakes(line)) << line;
}

TEST_F(RouteEvents, WhatIsLostCounts) {
    const int small = 1;
    ASSERT_EQ(setsockopt(events_->fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    for (int route = 0; route < 100; route++)
        ip(fmt::format("route add 10.9.{}.0/24 via 10.2.0.1", route));
    EXPECT_TRUE(events_->take());
    EXPECT_FALSE(events_->take());
}

} // namespace
} // namespace kudo::test
