// SPDX-License-Identifier: MIT
// Datagrams between this host and a stranger in every wrapping, the hooks that they come by, and the fixture that sends
// them.
// Invariant: the remote is in no range of map_here().
#pragma once

#include "tests/kernel/kernel_test.h"

namespace kudo::test {

inline constexpr const char* local4 = "192.0.2.10";
inline constexpr const char* local6 = "2001:db8:9::10";
inline constexpr uint16_t local_port = 40000;

enum class Shape { Plain, Vlan, QinQ, Options, NoEthernet };

struct Way {
    const char* name;
    const char* remote;
    bool by_xdp;
    Shape shape;
    kudo_mode mode = KUDO_PRIORITISE;
    bool frags = true;
    std::optional<uint32_t> first_buffer{}; // bytes of the frame that are in it
};
inline void PrintTo(const Way& way, std::ostream* out) {
    *out << way.name;
}

inline RangeMap map_here() {
    Service media =
        service("media", KUDO_CLASS_MEDIA, {"udp/3478", "tcp/443"}, {"3.123.12.128/28", "2001:db8:77:1::/64"});
    media.domains = {"*.kudoway.ca"};
    return map_of({media});
}

inline Bytes frame_of(const Way& way, kudo_direction direction, const Bytes& payload, uint16_t remote_port) {
    const bool ipv6 = std::string_view(way.remote).find(':') != std::string_view::npos, in = direction == KUDO_INGRESS;
    const std::string local = ipv6 ? local6 : local4;
    Packet packet;
    if (way.shape != Shape::NoEthernet) packet.add(Ethernet{});
    if (way.shape == Shape::QinQ) packet.add(Vlan{.id = 100, .tag = KUDO_ETHERTYPE_QINQ});
    if (way.shape == Shape::Vlan || way.shape == Shape::QinQ) packet.add(Vlan{.id = 7});
    if (ipv6) {
        packet.add(IPv6{.source = in ? way.remote : local, .destination = in ? local : way.remote});
        if (way.shape == Shape::Options) packet.add(Extension{});
    } else {
        packet.add(IPv4{.source = in ? way.remote : local,
                        .destination = in ? local : way.remote,
                        .options = way.shape == Shape::Options ? Bytes(8, 1) : Bytes{}});
    }
    packet.add(Udp{.source_port = in ? remote_port : local_port, .destination_port = in ? local_port : remote_port});
    packet.add(Raw{.bytes = payload});
    return packet.bytes();
}

// 3.123.12.200 and 2001:db8:77:2:: are in a known /24 and /48: the prefilters let them pass.
inline std::vector<Way> all_ways() {
    return {Way{"Xdp", "198.51.100.7", true, Shape::Plain},
            Way{"XdpObserved", "198.51.100.7", true, Shape::Plain, KUDO_OBSERVE},
            Way{"XdpNear", "3.123.12.200", true, Shape::Plain},
            Way{"XdpNearObserved", "3.123.12.200", true, Shape::Plain, KUDO_OBSERVE},
            Way{"XdpVlan", "198.51.100.7", true, Shape::Vlan},
            Way{"XdpNearQinQ", "3.123.12.200", true, Shape::QinQ},
            Way{"XdpOptions", "198.51.100.7", true, Shape::Options},
            Way{"Xdp6", "2a00:1450:4001::5", true, Shape::Plain},
            Way{"Xdp6Near", "2001:db8:77:2::5", true, Shape::Plain},
            Way{"Xdp6QinQ", "2a00:1450:4001::5", true, Shape::QinQ},
            Way{"Xdp6Options", "2001:db8:77:2::5", true, Shape::Options},
            Way{"XdpWithoutFrags", "198.51.100.7", true, Shape::Plain, KUDO_PRIORITISE, false},
            Way{"XdpScattered", "198.51.100.7", true, Shape::Plain, KUDO_PRIORITISE, true, 42},
            Way{"XdpScatteredVlan", "198.51.100.7", true, Shape::Vlan, KUDO_PRIORITISE, true, 0},
            Way{"Xdp6Scattered", "2a00:1450:4001::5", true, Shape::Plain, KUDO_PRIORITISE, true, 70},
            Way{"Tc", "198.51.100.7", false, Shape::Plain},
            Way{"TcNear", "3.123.12.200", false, Shape::Plain},
            Way{"TcNearObserved", "3.123.12.200", false, Shape::Plain, KUDO_OBSERVE},
            Way{"TcVlan", "198.51.100.7", false, Shape::Vlan},
            Way{"TcOptions", "3.123.12.200", false, Shape::Options},
            Way{"Tc6", "2a00:1450:4001::5", false, Shape::Plain},
            Way{"Tc6Near", "2001:db8:77:2::5", false, Shape::Plain},
            Way{"Tc6Vlan", "2001:db8:77:2::5", false, Shape::Vlan},
            Way{"Tc6Options", "2a00:1450:4001::5", false, Shape::Options},
            Way{"TcNoEthernet", "198.51.100.7", false, Shape::NoEthernet},
            Way{"TcNearNoEthernet", "3.123.12.200", false, Shape::NoEthernet},
            Way{"Tc6NoEthernet", "2a00:1450:4001::5", false, Shape::NoEthernet}};
}
inline std::string name_of_way(const testing::TestParamInfo<Way>& way) {
    return way.param.name;
}

// Sends to a port of the stranger's, and receives from it.
class StrangerTest : public KernelTest {
protected:
    explicit StrangerTest(uint16_t port) : port_(port) {}
    void SetUp() override {
        KernelTest::SetUp();
        if (!IsSkipped()) load({});
    }
    void load(Datapath::Options options, kudo_mode mode = KUDO_PRIORITISE) {
        datapath_.emplace(options);
        datapath_->publish(compile(map_here(), options_for(mode), {}).value(), 1);
    }
    void send(const Bytes& payload, const Way& way, std::optional<uint16_t> port = {}) {
        const Bytes frame = frame_of(way, KUDO_EGRESS, payload, port.value_or(port_));
        EXPECT_EQ(datapath_->run_tc(KUDO_EGRESS, frame).error, 0);
    }
    void receive(const Bytes& payload, const Way& way, std::optional<uint16_t> port = {}) {
        const Bytes frame = frame_of(way, KUDO_INGRESS, payload, port.value_or(port_));
        EXPECT_EQ(
            (way.by_xdp ? datapath_->run_xdp(frame, way.first_buffer) : datapath_->run_tc(KUDO_INGRESS, frame)).error,
            0);
    }
    static constexpr Way plain_{"plain", "198.51.100.7", true, Shape::Plain};
    std::optional<Datapath> datapath_;

private:
    const uint16_t port_;
};

// Such a test on a hook and in a wrapping.
template <typename Test> class OnAWay : public Test, public testing::WithParamInterface<Way> {
protected:
    void SetUp() override {
        // Not StrangerTest's, whose data path has other options. NOLINTNEXTLINE(bugprone-parent-virtual-call)
        KernelTest::SetUp();
        if (this->IsSkipped()) return;
        const Way& way = this->GetParam();
        const Datapath::Options options{.link = way.shape == Shape::NoEthernet ? KUDO_LINK_NONE : KUDO_LINK_ETHERNET,
                                        .frags = way.frags};
        if (way.first_buffer && Datapath(options).run_xdp(Bytes(100), way.first_buffer).error == EINVAL)
            GTEST_SKIP() << "this kernel's test run does not divide frames at will";
        this->load(options, way.mode);
    }
};

} // namespace kudo::test
