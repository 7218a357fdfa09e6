// SPDX-License-Identifier: MIT
// Frames with VLAN tags and PPPoE session headers, in and out: counted, and marked without harm to the rest of the
// frame. Invariant: the frames are compared byte by byte with what was sent.
#include "tests/e2e/link_fixture.h"

namespace kudo::test {
namespace {

constexpr unsigned packets = 100;
constexpr std::size_t payload = 64;

struct Shape {
    const char* name;
    Packet link;         // all before the IP header
    std::size_t ip;      // offset of the IP header
    bool outermost_gone; // the receiving kernel takes the outermost tag off before a capture sees the frame
};

std::vector<Shape> shapes() {
    const Vlan tag{.id = 7}, service_tag{.id = 100, .tag = KUDO_ETHERTYPE_QINQ},
        old_tag{.id = 9, .tag = KUDO_ETHERTYPE_QINQ_OLD};
    return {
        {"VLAN", Ethernet{} / tag, 18, true},
        {"QinQ", Ethernet{} / service_tag / tag, 22, true},
        {"old QinQ", Ethernet{} / old_tag / tag, 22, false},
        {"four tags", Ethernet{} / service_tag / tag / tag / tag, 30, true},
        {"PPPoE", Ethernet{} / Pppoe{.session = 77}, 22, false},
        {"PPPoE in a VLAN", Ethernet{} / tag / Pppoe{.session = 78}, 26, true},
    };
}

class Frames : public LineTest, public testing::WithParamInterface<IngressKind> {};

// The frame as the far end's capture must see it.
Bytes marked(Bytes frame, const Shape& shape) {
    frame[shape.ip + 1] = static_cast<uint8_t>(34 << 2 | (frame[shape.ip + 1] & 3));
    frame[shape.ip + 10] = frame[shape.ip + 11] = 0;
    const uint16_t sum = internet_checksum(std::span(frame).subspan(shape.ip, 20));
    frame[shape.ip + 10] = static_cast<uint8_t>(sum >> 8);
    frame[shape.ip + 11] = static_cast<uint8_t>(sum);
    if (shape.outermost_gone) frame.erase(frame.begin() + 12, frame.begin() + 16);
    return frame;
}

TEST_P(Frames, WithTagsAndSessionHeadersAreCountedAndMarked) {
    quieten();
    enable_as(GetParam());
    const FrameSender near(test_->host, "eth0"), far(test_->far, "eth0");
    uint16_t port = 50001;
    for (const Shape& shape : shapes()) {
        SCOPED_TRACE(shape.name);
        const Endpoint local{host_address, port++}, remote{media_address, 3478};
        const Bytes out =
            (Packet(shape.link) / IPv4{.source = local.address, .destination = remote.address, .dsfield = 2} /
             Udp{.source_port = local.port, .destination_port = remote.port} / Payload(payload))
                .bytes();
        const Bytes in = (Packet(shape.link) / IPv4{.source = remote.address, .destination = local.address} /
                          Udp{.source_port = remote.port, .destination_port = local.port} / Payload(2 * payload))
                             .bytes();
        Capture near_end(test_->host, "eth0"), far_end(test_->far, "eth0", 2048);
        near.send_many(out, packets, far_end);
        far.send_many(in, packets, near_end);
        const auto stats = test_->stats();
        const auto flow = find_flow(stats, "udp", local, remote);
        ASSERT_TRUE(flow.is_object()) << stats.at("reasons").dump(1);
        EXPECT_EQ(count_of(flow.at("egress")), (Count{packets, packets * (28 + payload)}));
        EXPECT_EQ(count_of(flow.at("ingress")), (Count{packets, packets * (28 + 2 * payload)}));
        unsigned arrived = 0;
        for (const Frame& frame : far_end.finish()) {
            if (frame.outgoing) continue;
            arrived++;
            ASSERT_EQ(hex_dump(frame.bytes), hex_dump(marked(out, shape)));
        }
        EXPECT_EQ(arrived, packets);
    }
    const auto stats = test_->stats();
    for (const char* direction : {"ingress", "egress"})
        EXPECT_EQ(stats.at("totals").at(direction).at("packets"), packets * shapes().size());
}

// A short packet in a frame that Ethernet's minimum has filled up.
TEST_P(Frames, WithPaddingCountAsLongAsTheirIpPacket) {
    quieten();
    enable_as(GetParam());
    const Endpoint local{host_address, 50001}, remote{media_address, 3478};
    const auto padded = [](const Endpoint& from, const Endpoint& to) {
        Bytes frame = (Ethernet{} / IPv4{.source = from.address, .destination = to.address} /
                       Udp{.source_port = from.port, .destination_port = to.port} / Payload(5))
                          .bytes();
        frame.resize(60);
        return frame;
    };
    const Capture near_end(test_->host, "eth0"), far_end(test_->far, "eth0");
    FrameSender(test_->host, "eth0").send_many(padded(local, remote), packets, far_end);
    FrameSender(test_->far, "eth0").send_many(padded(remote, local), packets, near_end);
    const auto flow = find_flow(test_->stats(), "udp", local, remote);
    ASSERT_TRUE(flow.is_object());
    EXPECT_EQ(count_of(flow.at("egress")), (Count{packets, packets * 33}));
    EXPECT_EQ(count_of(flow.at("ingress")), (Count{packets, packets * 33}));
}

TEST_P(Frames, ThatAreNoIpPacketsPassAndHaveTheirOwnReasons) {
    quieten();
    enable_as(GetParam());
    const FrameSender near(test_->host, "eth0"), far(test_->far, "eth0");
    const IPv4 media{.source = host_address, .destination = media_address};
    const struct {
        const char* reason;
        Packet packet;
    } odd[] = {
        {"not_ip", Ethernet{.type = 0x88cc} / Payload(50)},                            // LLDP
        {"not_ip", Ethernet{} / Pppoe{.protocol = 0xc021} / Payload(50)},              // LCP
        {"not_ip", Ethernet{} / Pppoe{.code = 9} / IPv4(media) / Udp{} / Payload(10)}, // no session data
        {"truncated_ip", Ethernet{} / IPv4{.total_length = 200} / Udp{} / Payload(50)},
        {"bad_ip", Ethernet{} / IPv4{.ihl = 4} / Udp{} / Payload(50)},
        {"too_many_tags", Ethernet{} / Vlan{.tag = KUDO_ETHERTYPE_QINQ_OLD} / Vlan{.tag = KUDO_ETHERTYPE_QINQ_OLD} /
                              Vlan{.tag = KUDO_ETHERTYPE_QINQ_OLD} / Vlan{} / Vlan{} / IPv4(media) / Udp{}},
    };
    for (const auto& [reason, packet] : odd) {
        SCOPED_TRACE(reason);
        const auto before = test_->stats();
        Capture near_end(test_->host, "eth0"), far_end(test_->far, "eth0");
        near.send_many(packet.bytes(), packets, far_end); // they arrive: nothing is dropped
        far.send_many(packet.bytes(), packets, near_end);
        const auto after = test_->stats();
        for (const char* direction : {"ingress", "egress"}) {
            const auto added = [&](const nlohmann::json& now, const nlohmann::json& then) {
                return now.at(direction).at("packets").get<uint64_t>() -
                       then.at(direction).at("packets").get<uint64_t>();
            };
            EXPECT_EQ(added(after.at("reasons").at(reason), before.at("reasons").at(reason)), packets) << direction;
            EXPECT_EQ(added(after.at("totals"), before.at("totals")), packets) << direction;
        }
        EXPECT_TRUE(after.at("flows").empty());
    }
}

TEST_P(Frames, WithFiveTagsAreTooManyHoweverIngressIsAttached) {
    quieten();
    enable_as(GetParam());
    const Bytes frame = (Ethernet{} / Vlan{} / Vlan{} / Vlan{} / Vlan{} / Vlan{} /
                         IPv4{.source = media_address, .destination = host_address} / Udp{} / Payload(50))
                            .bytes();
    const Capture near_end(test_->host, "eth0");
    FrameSender(test_->far, "eth0").send_many(frame, packets, near_end);
    const auto stats = test_->stats();
    EXPECT_EQ(stats.at("reasons").at("too_many_tags").at("ingress").at("packets"), packets);
    EXPECT_TRUE(stats.at("flows").empty()) << stats.at("flows").dump(1);
}

INSTANTIATE_TEST_SUITE_P(Ingress, Frames, all_ingress_kinds, name_of_ingress);

} // namespace
} // namespace kudo::test
