// SPDX-License-Identifier: MIT
// The settings and routes of a private network namespace that decide about packets.
#include <gtest/gtest.h>

#include <fstream>

#include "agent/netlink/path_settings.h"
#include "tests/component/line.h"

namespace kudo::test {
namespace {

class PathSettings : public testing::Test {
protected:
    void SetUp() override {
        if (!line_.why_not().empty()) GTEST_SKIP() << line_.why_not();
    }
    static InterfaceSettings of(const std::string& name) {
        auto settings = read_interface_settings(name);
        if (!settings) throw std::runtime_error(settings.error().message);
        return std::move(*settings);
    }
    static RouteState route_to(const std::string& to) {
        auto state = read_route_state(address(to));
        if (!state) throw std::runtime_error(state.error().message);
        return std::move(*state);
    }
    static void set(const std::string& name, const std::string& value) {
        std::ofstream("/proc/sys/net/" + name) << value;
    }

    Line line_;
};

TEST_F(PathSettings, TheGreaterReversePathFilterCountsAndIsNamed) {
    set("ipv4/conf/all/rp_filter", "0");
    set("ipv4/conf/eth0/rp_filter", "1");
    EXPECT_EQ(of("eth0").rp_filter_text(), "net.ipv4.conf.eth0.rp_filter is 1 (strict)");
    set("ipv4/conf/all/rp_filter", "2");
    EXPECT_EQ(of("eth0").rp_filter_text(), "net.ipv4.conf.all.rp_filter is 2 (loose)");
    set("ipv4/conf/all/rp_filter", "0");
    set("ipv4/conf/eth0/rp_filter", "0");
    EXPECT_EQ(of("eth0").rp_filter_text(), "net.ipv4.conf.eth0.rp_filter is 0 (off)");
}

TEST_F(PathSettings, OfAnInterface) {
    Line::in_host("ip link set eth0 mtu 1400");
    set("ipv4/conf/eth0/forwarding", "1");
    const InterfaceSettings settings = of("eth0");
    EXPECT_EQ(settings.mtu, 1400U);
    EXPECT_TRUE(settings.up);
    EXPECT_EQ(settings.forwarding_v4, true);
    EXPECT_EQ(settings.forwarding_v6, false);
    EXPECT_EQ(settings.ipv6_disabled, false);
    EXPECT_FALSE(read_interface_settings("eth9").has_value());
}

TEST_F(PathSettings, OfSockets) {
    set("ipv4/ip_local_port_range", "40000 40999");
    const SocketSettings settings = read_socket_settings();
    ASSERT_TRUE(settings.local_ports);
    EXPECT_EQ(settings.local_ports->first, 40000);
    EXPECT_EQ(settings.local_ports->last, 40999);
    if (settings.udp_mem) EXPECT_GE(settings.udp_mem->high, settings.udp_mem->low);
    EXPECT_TRUE(settings.udp_memory_used);
}

TEST_F(PathSettings, TheKindOfTheRoute) {
    using Kind = RouteState::Kind;
    for (const char* line : {"ip route add unreachable 198.51.100.1", "ip route add blackhole 198.51.100.2",
                             "ip route add prohibit 198.51.100.3", "ip -6 route add unreachable 2001:db8::1",
                             "ip -6 route add blackhole 2001:db8::2", "ip -6 route add prohibit 2001:db8::3"})
        Line::in_host(line);
    EXPECT_EQ(route_to("198.51.100.1").kind, Kind::Unreachable);
    EXPECT_EQ(route_to("198.51.100.2").kind, Kind::Blackhole);
    EXPECT_EQ(route_to("198.51.100.3").kind, Kind::Prohibit);
    EXPECT_EQ(route_to("2001:db8::1").kind, Kind::Unreachable);
    EXPECT_EQ(route_to("2001:db8::2").kind, Kind::Blackhole);
    EXPECT_EQ(route_to("2001:db8::3").kind, Kind::Prohibit);
    EXPECT_EQ(route_to("10.77.0.2").kind, Kind::Local);
    Line::in_host("ip route del default");
    EXPECT_EQ(route_to("52.200.60.17").kind, Kind::None);
    EXPECT_EQ(route_text(route_to("52.200.60.17")), "no route");
}

TEST_F(PathSettings, TheNeighbourThatDoesNotAnswerIsFailed) {
    Line::in_host("ip route add 52.200.60.0/24 via 10.77.0.99");
    const Fd fd = Line::host_socket(address("10.77.0.2"), 40000);
    send_datagram(fd, address("52.200.60.17"), 3478, 10);
    const RouteState asking = route_to("52.200.60.17");
    EXPECT_EQ(asking.kind, RouteState::Kind::Unicast);
    EXPECT_EQ(asking.interface, "eth0");
    ASSERT_TRUE(asking.neighbour);
    EXPECT_EQ(asking.neighbour->text(), "10.77.0.99");
    EXPECT_TRUE(asking.neighbour_state == "incomplete" || asking.neighbour_state == "failed") << asking.neighbour_state;
    EXPECT_NE(route_text(asking).find("which does not answer"), std::string::npos);
    send_datagram(fd, address("10.77.0.1"), 3478, 10);
    Line::in_host("ip neigh replace 10.77.0.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent");
    EXPECT_EQ(route_to("8.8.8.8").neighbour_state, "permanent");
    EXPECT_EQ(route_text(route_to("8.8.8.8")), "via 10.77.0.1 on eth0");
}

TEST_F(PathSettings, TheRoutesOwnMtu) {
    Line::in_host("ip route add 52.200.60.0/24 via 10.77.0.1 mtu 1300");
    EXPECT_EQ(route_to("52.200.60.17").mtu, 1300U);
    EXPECT_FALSE(route_to("52.200.61.17").mtu);
}

} // namespace
} // namespace kudo::test
