// SPDX-License-Identifier: MIT
// Pure TCP acknowledgements of other traffic have a class of their own, by the qdisc's counters; everything else stays
// where it is, and what selects them is watched like the rest of the queue.
// Invariant: nothing here depends on time.
#include <gtest/gtest.h>

#include <map>

#include "tests/support/host_test.h"
#include "tests/support/packet_builder.h"
#include "tests/support/traffic.h"

namespace kudo::test {
namespace {

constexpr uint8_t fin = 0x01, syn = 0x02, rst = 0x04, psh = 0x08, ack = 0x10, ece = 0x40;
constexpr unsigned count = 7;

class PureAcks : public HostTest {
protected:
    // False: the kernel does not have the kind.
    [[nodiscard]] bool enable(const std::string& kind) const {
        const Outcome enabled =
            test_->agent({"enable", "--region", "ca", "--uplink", "20mbit", "--downlink", "20mbit", "--queue", kind});
        EXPECT_TRUE(enabled.status == 0 || enabled.status == 2) << enabled.err;
        return enabled.status == 0;
    }
    using Packets = std::map<std::string, uint64_t>; // by class
    // What the classes of that direction ("egress", "ingress") have sent.
    [[nodiscard]] Packets packets(const std::string& direction) const {
        Packets result;
        const auto stats = test_->stats();
        for (const auto& queue : stats.at("queues"))
            for (const auto& part : queue.at("classes"))
                if (queue.at("direction") == direction)
                    result[part.at("carries").at(0)] = part.at("packets").get<uint64_t>();
        return result;
    }
    // What the classes of that direction send of `count` such frames.
    [[nodiscard]] Packets carried(const Bytes& frame, const std::string& direction) const {
        const FrameSender sender(direction == "egress" ? test_->host : test_->far, "eth0");
        const Packets before = packets(direction);
        for (unsigned i = 0; i < count; i++)
            sender.send(frame);
        Packets sent = packets(direction);
        for (auto& [name, number] : sent)
            number -= before.at(name);
        return sent;
    }
};

Bytes with_flags(const Packet& packet, uint8_t flags) {
    Bytes bytes = packet.bytes();
    const std::size_t ip_header = bytes[14] >> 4 == 4 ? (bytes[14] & 0xfu) * 4 : 40;
    bytes[14 + ip_header + 13] = flags;
    return bytes;
}

struct Frame {
    std::string name;
    Bytes bytes;
};

const IPv4 v4{.source = "10.77.0.2", .destination = "10.77.0.1"};
const IPv6 v6{.source = "fd77::2", .destination = "fd77::1"};

std::vector<Frame> acks() {
    IPv4 with_options = v4;
    with_options.options = Bytes(8, 1);
    Bytes padded = with_flags(Ethernet{} / v4 / Tcp{}, ack);
    padded.resize(60);
    return {{"IPv4", with_flags(Ethernet{} / v4 / Tcp{}, ack)},
            {"IPv4 with timestamps", with_flags(Ethernet{} / v4 / Tcp{.options = Bytes(12, 1)}, ack)},
            {"IPv4 with all that options may take", with_flags(Ethernet{} / v4 / Tcp{.options = Bytes(40, 1)}, ack)},
            {"IPv4 with options of IP", with_flags(Ethernet{} / with_options / Tcp{}, ack)},
            {"IPv4 with ECN's echo", with_flags(Ethernet{} / v4 / Tcp{}, ack | ece)},
            {"IPv4, padded to Ethernet's smallest frame", padded},
            {"IPv6", with_flags(Ethernet{} / v6 / Tcp{}, ack)},
            {"IPv6 with all that options may take", with_flags(Ethernet{} / v6 / Tcp{.options = Bytes(40, 1)}, ack)}};
}

std::vector<Frame> others() {
    IPv4 fragment = v4;
    fragment.more_fragments = true;
    return {{"IPv4 with a byte", with_flags(Ethernet{} / v4 / Tcp{} / Payload(1), ack)},
            {"IPv4 with timestamps and a byte",
             with_flags(Ethernet{} / v4 / Tcp{.options = Bytes(12, 1)} / Payload(1), ack)},
            {"IPv4, full", with_flags(Ethernet{} / v4 / Tcp{} / Payload(1400), ack)},
            {"IPv6 with a byte", with_flags(Ethernet{} / v6 / Tcp{} / Payload(1), ack)},
            {"IPv6, full", with_flags(Ethernet{} / v6 / Tcp{} / Payload(1400), ack)},
            {"SYN", with_flags(Ethernet{} / v4 / Tcp{}, syn)},
            {"SYN, ACK", with_flags(Ethernet{} / v4 / Tcp{}, syn | ack)},
            {"FIN", with_flags(Ethernet{} / v6 / Tcp{}, fin | ack)},
            {"RST", with_flags(Ethernet{} / v4 / Tcp{}, rst | ack)},
            {"PSH", with_flags(Ethernet{} / v4 / Tcp{}, psh | ack)},
            {"a fragment", with_flags(Ethernet{} / fragment / Tcp{}, ack)},
            {"UDP of that size", (Ethernet{} / v4 / Udp{} / Payload(12)).bytes()}};
}

TEST_F(PureAcks, OfOthersHaveAClassOfTheirOwnInBothDirections) {
    unsigned tried = 0;
    for (const char* kind : {"htb", "prio"}) {
        if (!enable(kind)) continue;
        tried++;
        for (const std::string direction : {"egress", "ingress"}) {
            for (const auto& [name, bytes] : acks())
                EXPECT_EQ(carried(bytes, direction).at("acks"), count) << kind << " " << direction << ": " << name;
            for (const auto& [name, bytes] : others()) {
                const Packets sent = carried(bytes, direction);
                EXPECT_EQ(sent.at("acks"), 0u) << kind << " " << direction << ": " << name;
                EXPECT_GE(sent.at("other"), count) << kind << " " << direction << ": " << name;
            }
        }
    }
    EXPECT_GE(tried, 1u);
}

TEST_F(PureAcks, OfKudosStayInTheirClass) {
    for (const char* kind : {"htb", "prio"}) {
        if (!enable(kind)) continue;
        const IPv4 control{.source = "10.77.0.2", .destination = "3.97.146.187"};
        const Bytes frame = with_flags(Ethernet{} / control / Tcp{.source_port = 40000}, ack);
        const Packets sent = carried(frame, "egress");
        EXPECT_EQ(sent.at("control"), count) << kind;
        EXPECT_EQ(sent.at("acks"), 0u) << kind;
    }
}

TEST_F(PureAcks, AFilterThatIsGoneOrChangedIsSeenAndPutBack) {
    const Bytes frame = acks()[0].bytes;
    for (const auto& [kind, parent] : std::map<std::string, std::string>{{"htb", "4b55:"}, {"prio", "4b5a:"}}) {
        if (!enable(kind)) continue;
        for (const std::string device : {"eth0", "kudo-ifb2"}) {
            test_->in_host({"tc", "filter", "del", "dev", device, "parent", parent, "pref", "19285"});
            const std::string direction = device == "eth0" ? "egress" : "ingress";
            EXPECT_EQ(carried(frame, direction).at("acks"), 0u);
            EXPECT_EQ(test_->agent({"status"}).status, 4) << kind << " " << device;
            EXPECT_TRUE(enable(kind));
            EXPECT_EQ(test_->agent({"status"}).status, 0) << kind << " " << device;
            EXPECT_EQ(carried(frame, direction).at("acks"), count);
        }
        // All IPv4 in that class.
        test_->in_host({"tc", "filter", "replace", "dev", "eth0", "parent", parent, "pref", "19285", "handle", "1",
                        "protocol", "ip", "bpf", "bytecode", "1,6 0 0 4294967295", "flowid",
                        parent + (kind == "htb" ? "6" : "1")});
        EXPECT_EQ(test_->agent({"status"}).status, 4) << kind;
        EXPECT_TRUE(enable(kind));
        EXPECT_EQ(test_->agent({"status"}).status, 0) << kind;
        // An administrator's own filter is no concern of ours.
        test_->in_host({"tc", "filter", "add", "dev", "eth0", "parent", parent, "pref", "7", "protocol", "ip", "u32",
                        "match", "ip", "dport", "9", "0xffff", "flowid", parent + "2"});
        EXPECT_EQ(test_->agent({"status"}).status, 0) << kind;
        ASSERT_EQ(test_->agent({"disable"}).status, 0);
        EXPECT_EQ(test_->in_host({"tc", "filter", "show", "dev", "eth0"}), "");
    }
}

} // namespace
} // namespace kudo::test
