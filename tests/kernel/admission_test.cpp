// SPDX-License-Identifier: MIT
// The rules of admission, line by line (docs/enforce.md), through the programs.
// Invariant: each packet is counted under exactly one reason, and that is what the line says.
#include <chrono>
#include <ctime>
#include <thread>

#include "maps/base/abi_names.h"
#include "maps/compile/allow_entries.h"
#include "tests/kernel/kernel_test.h"

namespace kudo::test {
namespace {

constexpr const char* kudo4 = "3.7.161.1";
constexpr const char* kudo6 = "2a05:d018::1";
constexpr const char* host4 = "192.0.2.10";
constexpr const char* host6 = "2001:db8:f::10";
constexpr const char* stranger4 = "198.18.0.9";
constexpr const char* admin4 = "203.0.113.200";
constexpr const char* resolver4 = "192.0.2.53";

AllowRule rule(const std::string& remote, kudo_allow allow, std::string lifeline = {}) {
    AllowRule result{.rule = allow, .remotes = {}, .text = remote, .lifeline = std::move(lifeline)};
    if (remote == "any")
        result.remotes = {Prefix::parse("0.0.0.0/0").value(), Prefix::parse("::/0").value()};
    else
        result.remotes = {Prefix::parse(remote).value()};
    return result;
}

kudo_allow ports(uint8_t protocol, uint16_t first, uint16_t last, uint8_t flags) {
    return {.first_port = first,
            .last_port = last,
            .protocol = protocol,
            .kind = KUDO_ALLOW_PROTOCOL,
            .flags = flags,
            .pad = 0};
}
kudo_allow kind(kudo_allow_kind kind_, uint8_t flags = KUDO_ALLOW_FROM | KUDO_ALLOW_TO) {
    return {.first_port = 0,
            .last_port = 65535,
            .protocol = 0,
            .kind = static_cast<uint8_t>(kind_),
            .flags = flags,
            .pad = 0};
}

std::vector<AllowRule> usual_rules() {
    return {rule("203.0.113.0/24", ports(IPPROTO_TCP, 22, 22, KUDO_ALLOW_FROM)),
            rule("198.51.100.0/24", ports(IPPROTO_UDP, 51820, 51830, KUDO_ALLOW_TO)),
            rule("198.51.100.0/24", ports(IPPROTO_TCP, 8080, 8080, KUDO_ALLOW_TO)),
            rule("203.0.113.0/24", ports(50, 0, 65535, KUDO_ALLOW_FROM | KUDO_ALLOW_TO)),
            rule("203.0.113.0/24", kind(KUDO_ALLOW_ECHO, KUDO_ALLOW_FROM)),
            rule("0.0.0.0/1", ports(IPPROTO_TCP, 9, 9, KUDO_ALLOW_FROM)),
            rule("224.0.0.0/3", ports(IPPROTO_TCP, 9, 9, KUDO_ALLOW_FROM)),
            rule("any", kind(KUDO_ALLOW_ARP), "arp"),
            rule("any", kind(KUDO_ALLOW_NEIGHBOUR), "neighbour-discovery"),
            rule("any", kind(KUDO_ALLOW_ICMP_ERROR), "icmp-errors"),
            rule("any", kind(KUDO_ALLOW_DHCP), "dhcp"),
            rule(resolver4, ports(IPPROTO_UDP, 53, 53, KUDO_ALLOW_TO), "dns")};
}

uint64_t boot_time() {
    timespec now{};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// What comes in at the XDP program or goes out at tc's.
class Admission : public KernelTest {
protected:
    void SetUp() override {
        KernelTest::SetUp();
        if (IsSkipped()) return;
        datapath_.emplace();
        publish(KUDO_ENFORCE, KUDO_ADMISSION_ENFORCE);
    }
    void publish(kudo_mode mode, kudo_admission admission, uint64_t deadline = 0) {
        CompileOptions options = options_for(mode);
        options.admission = admission;
        options.deadline = deadline;
        options.allow = usual_rules();
        auto compiled = compile(overlapping_map(), options, {});
        ASSERT_TRUE(compiled) << compiled.error().message;
        datapath_->publish(*compiled, ++generation_);
    }

    // The reason that it is counted under, and whether it is dropped: "rule", "-stranger".
    std::string in(const Packet& packet) { return judged(packet, KUDO_INGRESS); }
    std::string in_tc(const Packet& packet) { return judged(packet, KUDO_INGRESS, true); }
    std::string out(const Packet& packet) { return judged(packet, KUDO_EGRESS); }

    std::string judged(const Packet& packet, kudo_direction direction, bool tc = false) {
        const auto before = datapath_->counters();
        const Bytes frame = packet.bytes();
        const bool xdp = direction == KUDO_INGRESS && !tc;
        const RunResult result = xdp ? datapath_->run_xdp(frame) : datapath_->run_tc(direction, frame);
        EXPECT_EQ(result.error, 0) << std::strerror(result.error);
        const auto after = datapath_->counters();
        std::string reasons = result.returned == (xdp ? uint32_t{XDP_DROP} : tc_drop) ? "-" : "";
        for (uint32_t reason = 0; reason < KUDO_MAX_REASONS; ++reason)
            for (uint64_t i = before->reasons[reason][direction].packets; i < after->reasons[reason][direction].packets;
                 ++i)
                reasons += reason_name(static_cast<kudo_reason>(reason));
        return reasons;
    }

    std::optional<Datapath> datapath_;
    uint32_t generation_ = 0;
};

Packet udp4(const char* source, uint16_t source_port, const char* destination, uint16_t port) {
    return Ethernet{} / IPv4{.source = source, .destination = destination} /
           Udp{.source_port = source_port, .destination_port = port} / Payload(30);
}
Packet tcp4(const char* source, uint16_t source_port, const char* destination, uint16_t port,
            uint8_t flags = KUDO_TCP_ACK) {
    return Ethernet{} / IPv4{.source = source, .destination = destination} /
           Tcp{.source_port = source_port, .destination_port = port, .flags = flags};
}
Packet icmp4(const char* source, const char* destination, uint8_t type) {
    return Ethernet{} / IPv4{.source = source, .destination = destination} / Icmp{.type = type} / Payload(8);
}
// Behind the ICMP header: the quoted packet, without its Ethernet header.
Packet icmp_error4(const char* source, const char* destination, const Packet& quoted, std::size_t bytes = 28) {
    Bytes body;
    const Bytes frame = quoted.bytes();
    body.insert(body.end(), frame.begin() + 14, frame.begin() + 14 + static_cast<std::ptrdiff_t>(bytes));
    return Ethernet{} / IPv4{.source = source, .destination = destination} / Icmp{.type = 3} / Raw{.bytes = body};
}
constexpr uint8_t syn = KUDO_TCP_SYN, syn_ack = KUDO_TCP_SYN | KUDO_TCP_ACK;

TEST_F(Admission, MediaOnlyWhereThisHostSpokeFirst) {
    EXPECT_EQ(in(udp4(kudo4, 3478, host4, 40000)), "-unsolicited");
    EXPECT_EQ(out(udp4(host4, 40000, kudo4, 3478)), "rule");
    EXPECT_EQ(in(udp4(kudo4, 3478, host4, 40000)), "rule");
    EXPECT_EQ(in_tc(udp4(kudo4, 3478, host4, 40000)), "rule");
    EXPECT_EQ(in(udp4(kudo4, 3478, host4, 40001)), "-unsolicited");
    EXPECT_EQ(in(udp4("3.7.161.2", 3478, host4, 40000)), "-unsolicited");
    const Packet out6 =
        Ethernet{} / IPv6{.source = host6, .destination = kudo6} / Udp{.source_port = 5, .destination_port = 3478};
    const Packet in6 =
        Ethernet{} / IPv6{.source = kudo6, .destination = host6} / Udp{.source_port = 3478, .destination_port = 5};
    EXPECT_EQ(in(in6), "-unsolicited");
    EXPECT_EQ(out(out6), "rule");
    EXPECT_EQ(in(in6), "rule");
}

TEST_F(Admission, KudoOpensNoConnection) {
    EXPECT_EQ(in(tcp4(kudo4, 443, host4, 50000, syn)), "-unsolicited");
    EXPECT_EQ(in(tcp4(kudo4, 443, host4, 50000)), "-unsolicited");
    EXPECT_EQ(out(tcp4(host4, 50000, kudo4, 443, syn)), "rule");
    EXPECT_EQ(in(tcp4(kudo4, 443, host4, 50000, syn_ack)), "rule");
    EXPECT_EQ(in(tcp4(kudo4, 443, host4, 50000)), "rule");
    EXPECT_EQ(in(tcp4(kudo4, 443, host4, 50000, syn)), "-unsolicited");
    EXPECT_EQ(in(tcp4(kudo4, 443, host4, 22)), "-unsolicited");
}

TEST_F(Admission, PortsToTheLetter) {
    EXPECT_EQ(out(udp4(host4, 40000, kudo4, 3479)), "-port_not_listed");
    EXPECT_EQ(out(tcp4(host4, 40000, kudo4, 3478, syn)), "-port_not_listed");
    EXPECT_EQ(out(udp4(host4, 3478, kudo4, 40000)), "-port_not_listed");
    EXPECT_EQ(out(udp4(host4, 40000, stranger4, 3478)), "-stranger");
    EXPECT_EQ(in(udp4(stranger4, 3478, host4, 40000)), "-stranger");
    const Packet gre =
        Ethernet{} / IPv4{.source = host4, .destination = kudo4} / Raw{.bytes = Bytes(20), .protocol = 47};
    EXPECT_EQ(out(gre), "-other_protocol");
}

TEST_F(Admission, ARuleFromLetsTheRemoteOpenAndThisHostAnswer) {
    EXPECT_EQ(in(tcp4(admin4, 60000, host4, 22, syn)), "allowed");
    EXPECT_EQ(out(tcp4(host4, 22, admin4, 60000, syn_ack)), "allowed");
    EXPECT_EQ(in_tc(tcp4(admin4, 60000, host4, 22)), "allowed");
    EXPECT_EQ(out(tcp4(host4, 22, admin4, 60000, syn)), "-stranger"); // opens
    EXPECT_EQ(in(tcp4(admin4, 22, host4, 60000, syn)), "-stranger");  // the port is this host's
    EXPECT_EQ(in(tcp4(stranger4, 60000, host4, 22, syn)), "-stranger");
    EXPECT_EQ(in(udp4(admin4, 60000, host4, 22)), "-stranger");
}

TEST_F(Admission, ARuleToLetsThisHostOpenAndTheRemoteAnswer) {
    EXPECT_EQ(in(udp4("198.51.100.5", 51820, host4, 7777)), "-unsolicited");
    EXPECT_EQ(out(udp4(host4, 7777, "198.51.100.5", 51820)), "allowed");
    EXPECT_EQ(in(udp4("198.51.100.5", 51820, host4, 7777)), "allowed");
    EXPECT_EQ(out(udp4(host4, 7777, "198.51.100.5", 51830)), "allowed");
    EXPECT_EQ(out(udp4(host4, 7777, "198.51.100.5", 51831)), "-stranger");
    EXPECT_EQ(out(tcp4(host4, 7777, "198.51.100.5", 8080, syn)), "allowed");
    EXPECT_EQ(in(tcp4("198.51.100.5", 8080, host4, 7777, syn)), "-unsolicited");
    EXPECT_EQ(in(tcp4("198.51.100.5", 8080, host4, 7777, syn_ack)), "allowed");
    EXPECT_EQ(out(udp4(host4, 7777, resolver4, 53)), "lifeline");
    EXPECT_EQ(in(udp4(resolver4, 53, host4, 7777)), "lifeline");
    EXPECT_EQ(in(udp4(resolver4, 53, host4, 7778)), "-unsolicited");
}

TEST_F(Admission, OtherProtocolsHaveNoPorts) {
    const auto esp = [](const char* from, const char* to) {
        return Ethernet{} / IPv4{.source = from, .destination = to} / Raw{.bytes = Bytes(20), .protocol = 50};
    };
    EXPECT_EQ(in(esp(admin4, host4)), "allowed");
    EXPECT_EQ(out(esp(host4, admin4)), "allowed");
    EXPECT_EQ(in(esp(stranger4, host4)), "-stranger");
}

TEST_F(Admission, Echo) {
    EXPECT_EQ(in(icmp4(admin4, host4, 8)), "allowed");
    EXPECT_EQ(out(icmp4(host4, admin4, 0)), "allowed");
    EXPECT_EQ(out(icmp4(host4, admin4, 8)), "-stranger");
    EXPECT_EQ(in(icmp4(stranger4, host4, 8)), "-stranger");
    EXPECT_EQ(out(icmp4(host4, kudo4, 8)), "icmp");
    EXPECT_EQ(in(icmp4(kudo4, host4, 0)), "icmp");
    EXPECT_EQ(in(icmp4(kudo4, host4, 8)), "-icmp_denied");
    EXPECT_EQ(in(icmp4(kudo4, host4, 13)), "-icmp_denied");
}

TEST_F(Admission, AnErrorIsJudgedByWhatItQuotes) {
    const Packet media = udp4(host4, 40000, kudo4, 3478);
    EXPECT_EQ(in(icmp_error4(stranger4, host4, media)), "-icmp_unrelated"); // nothing was sent yet
    EXPECT_EQ(out(media), "rule");
    EXPECT_EQ(in(icmp_error4(stranger4, host4, media)), "lifeline");
    EXPECT_EQ(in_tc(icmp_error4(stranger4, host4, media)), "lifeline");
    EXPECT_EQ(in(icmp_error4(kudo4, host4, media)), "icmp");
    EXPECT_EQ(in(icmp_error4(stranger4, host4, media, 27)), "-icmp_unrelated");
    EXPECT_EQ(in(icmp_error4(stranger4, host4, udp4(host4, 40000, stranger4, 3478))), "-icmp_unrelated");
    EXPECT_EQ(in(icmp_error4(stranger4, host4, udp4("192.0.2.11", 40000, kudo4, 3478))), "-icmp_unrelated");
    EXPECT_EQ(in(icmp_error4(stranger4, host4, tcp4(host4, 22, admin4, 60000))), "lifeline");
    EXPECT_EQ(in(icmp_error4(stranger4, host4, tcp4(host4, 23, admin4, 60000))), "-icmp_unrelated");
    EXPECT_EQ(out(icmp_error4(host4, kudo4, udp4(kudo4, 3478, host4, 40000))), "icmp");
    EXPECT_EQ(out(icmp_error4(host4, stranger4, udp4(stranger4, 3478, host4, 40000))), "-icmp_unrelated");
    EXPECT_EQ(in(icmp_error4(stranger4, host4, icmp4(host4, kudo4, 8))), "lifeline");
    EXPECT_EQ(in(icmp_error4(stranger4, host4, icmp4(host4, stranger4, 8))), "-icmp_unrelated");
}

TEST_F(Admission, AnErrorAboutATunnelIsJudgedByItsProtocol) {
    const auto esp = [](const char* to) {
        return Ethernet{} / IPv4{.source = host4, .destination = to} / Raw{.bytes = Bytes(20), .protocol = 50};
    };
    EXPECT_EQ(in(icmp_error4(stranger4, host4, esp(admin4))), "lifeline");
    EXPECT_EQ(in(icmp_error4(stranger4, host4, esp(stranger4))), "-icmp_unrelated");
}

TEST_F(Admission, WhoAsksThisHostFillsNoTable) {
    EXPECT_EQ(in(tcp4(admin4, 60000, host4, 22, syn)), "allowed");
    EXPECT_EQ(out(tcp4(host4, 22, admin4, 60000, syn_ack)), "allowed");
    EXPECT_EQ(out(udp4("0.0.0.0", 68, "255.255.255.255", 67)), "lifeline");
    std::size_t entries = 0;
    ASSERT_TRUE((for_each_entry<kudo_flow4_key, uint64_t>(datapath_->maps().outgoing4.get(), "outgoing flows",
                                                          [&](const auto&, const auto&) { entries++; })));
    EXPECT_EQ(entries, 0u);
    EXPECT_EQ(out(udp4(host4, 40000, kudo4, 3478)), "rule");
    ASSERT_TRUE((for_each_entry<kudo_flow4_key, uint64_t>(datapath_->maps().outgoing4.get(), "outgoing flows",
                                                          [&](const auto&, const auto&) { entries++; })));
    EXPECT_EQ(entries, 1u);
}

// A stream of which this host has sent nothing since 65,536 newer ones is the one price of a table that nobody fills
// but this host; its next packet brings the stream back.
TEST_F(Admission, OfMoreFlowsThanAreKnownThoseGoThatThisHostIsSilentIn) {
    const Packet silent = udp4(host4, 40000, kudo4, 3478), busy = udp4(host4, 40001, kudo4, 3478);
    EXPECT_EQ(out(silent), "rule");
    uint32_t busy_refused = 0;
    for (uint32_t i = 0; i < 2 * 65536; ++i) {
        if (i % 1000 == 0) {
            EXPECT_EQ(out(busy), "rule");
            std::this_thread::sleep_for(std::chrono::milliseconds(3)); // as calls send, not as test runs
        }
        const Packet other =
            udp4(host4, static_cast<uint16_t>(i), "198.51.100.20", static_cast<uint16_t>(51820 + i / 65536));
        ASSERT_EQ(datapath_->run_tc(KUDO_EGRESS, other.bytes()).returned, tc_next);
        if (i % 1000 == 999) busy_refused += in(udp4(kudo4, 3478, host4, 40001)) != "rule";
    }
    EXPECT_EQ(busy_refused, 0u) << "of a call that goes on";
    EXPECT_EQ(in(udp4(kudo4, 3478, host4, 40000)), "-unsolicited");
    EXPECT_EQ(out(silent), "rule");
    EXPECT_EQ(in(udp4(kudo4, 3478, host4, 40000)), "rule");
}

TEST_F(Admission, WhatBelongsToTheLink) {
    for (const uint16_t type : std::initializer_list<uint16_t>{0x888e, 0x8809, 0x88cc, 0x0026, 0x8863})
        EXPECT_EQ(in(Ethernet{.type = type} / Payload(46)), "link_control") << type;
    for (const uint16_t type : std::initializer_list<uint16_t>{0x0842, 0x88e5, 0x0600})
        EXPECT_EQ(in(Ethernet{.type = type} / Payload(46)), "-not_ip_denied") << type;
    EXPECT_EQ(in(Ethernet{} / Pppoe{.protocol = 0xc021} / Payload(20)), "link_control");
    EXPECT_EQ(in(Ethernet{} / Pppoe{.protocol = 0x0281} / Payload(20)), "-not_ip_denied");
    Bytes arp = {0, 1, 8, 0, 6, 4, 0, 1, 2, 2, 2, 2, 2, 2, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 10};
    EXPECT_EQ(in(Ethernet{.type = 0x0806} / Raw{.bytes = arp}), "lifeline");
    EXPECT_EQ(out(Ethernet{.type = 0x0806} / Raw{.bytes = arp}), "lifeline");
    arp[4] = 8;
    EXPECT_EQ(in(Ethernet{.type = 0x0806} / Raw{.bytes = arp}), "-not_ip_denied");
    arp[4] = 6;
    arp.pop_back();
    EXPECT_EQ(in(Ethernet{.type = 0x0806} / Raw{.bytes = arp}), "-not_ip_denied");
}

TEST_F(Admission, WhatAHostNeeds) {
    const auto message = [](uint8_t type, uint8_t hops) {
        return Ethernet{} / IPv6{.source = "fe80::1", .destination = "ff02::1", .hop_limit = hops} /
               Icmp{.type = type} / Payload(20);
    };
    EXPECT_EQ(in(message(135, 255)), "lifeline");
    EXPECT_EQ(in(message(134, 255)), "lifeline");
    EXPECT_EQ(in(message(143, 1)), "lifeline");
    EXPECT_EQ(in(message(135, 254)), "-stranger");
    EXPECT_EQ(in(message(143, 2)), "-stranger");
    EXPECT_EQ(out(udp4("0.0.0.0", 68, "255.255.255.255", 67)), "lifeline");
    EXPECT_EQ(in(udp4("192.0.2.1", 67, "255.255.255.255", 68)), "lifeline");
    EXPECT_EQ(in(udp4("192.0.2.1", 67, "255.255.255.255", 69)), "-stranger");
    EXPECT_EQ(in(udp4("192.0.2.1", 68, host4, 67)), "-stranger");
}

TEST_F(Admission, LaterFragmentsGoWithTheirFirst) {
    const auto fragment = [&](uint16_t id, bool more, uint16_t offset, std::size_t size, uint8_t protocol = 17) {
        Packet packet = Ethernet{} / IPv4{.source = kudo4,
                                          .destination = host4,
                                          .id = id,
                                          .more_fragments = more,
                                          .fragment_offset = offset,
                                          .protocol = protocol};
        if (offset == 0) packet = packet / Udp{.source_port = 3478, .destination_port = 40000, .length = 200};
        return packet / Payload(size);
    };
    EXPECT_EQ(in(fragment(7, false, 5, 24)), "-fragment_without_first");
    EXPECT_EQ(in(fragment(7, true, 0, 32)), "-unsolicited");
    EXPECT_EQ(in(fragment(7, false, 5, 24)), "-fragment_without_first");
    EXPECT_EQ(out(udp4(host4, 40000, kudo4, 3478)), "rule");
    EXPECT_EQ(in(fragment(7, true, 0, 32)), "rule"); // 40 bytes behind the IP header
    EXPECT_EQ(in(fragment(7, false, 5, 24)), "later_fragment");
    EXPECT_EQ(in_tc(fragment(7, false, 9, 24)), "later_fragment");
    EXPECT_EQ(in(fragment(7, false, 4, 24)), "-overlapping_fragment");
    EXPECT_EQ(in(fragment(8, false, 5, 24)), "-fragment_without_first");
    EXPECT_EQ(in(fragment(7, false, 5, 24, 6)), "-fragment_without_first");
    EXPECT_EQ(out(fragment(7, false, 5, 24)), "-fragment_without_first"); // the other direction
    const auto fragment6 = [&](bool more, uint16_t offset) {
        Packet packet = Ethernet{} / IPv6{.source = host6, .destination = kudo6} /
                        Fragment{.offset = offset, .more_fragments = more, .next_header = 17};
        if (offset == 0) packet = packet / Udp{.source_port = 40000, .destination_port = 3478, .length = 200};
        return packet / Payload(32);
    };
    EXPECT_EQ(out(fragment6(false, 5)), "-fragment_without_first");
    EXPECT_EQ(out(fragment6(true, 0)), "rule");
    EXPECT_EQ(out(fragment6(false, 5)), "later_fragment");
    EXPECT_EQ(out(fragment6(false, 4)), "-overlapping_fragment");
}

TEST_F(Admission, Vetoes) {
    EXPECT_EQ(out(udp4(host4, 40000, kudo4, 3478)), "rule");
    const Udp media{.source_port = 3478, .destination_port = 40000};
    EXPECT_EQ(in(Ethernet{} / IPv4{.source = kudo4, .destination = host4, .options = {0x83, 7, 4, 1, 2, 3, 4}} / media),
              "-ip_options");
    EXPECT_EQ(in(Ethernet{} / IPv4{.source = kudo4, .destination = host4, .checksum = 0x1234} / media),
              "-bad_checksum");
    EXPECT_EQ(out(Ethernet{} / IPv4{.source = host4, .destination = kudo4, .checksum = 0x1234} /
                  Udp{.source_port = 40000, .destination_port = 3478}),
              "rule"); // devices may fill it in
    const auto length = [&](uint16_t bytes) {
        return Ethernet{} / IPv4{.source = kudo4, .destination = host4} /
               Udp{.source_port = 3478, .destination_port = 40000, .length = bytes} / Payload(10);
    };
    EXPECT_EQ(in(length(18)), "rule");
    EXPECT_EQ(in(length(17)), "rule"); // the stack takes it, with less payload
    EXPECT_EQ(in(length(19)), "-bad_transport");
    EXPECT_EQ(in(length(7)), "-bad_transport");
    for (const char* source : {"0.0.0.1", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"})
        EXPECT_EQ(in(tcp4(source, 60000, host4, 9, syn)), "-bad_source") << source;
    EXPECT_EQ(in(tcp4("10.0.0.1", 60000, "10.0.0.1", 9, syn)), "-bad_source");
    EXPECT_EQ(in(tcp4("10.0.0.1", 60000, host4, 9, syn)), "allowed");
    const Packet routed = Ethernet{} / IPv6{.source = host6, .destination = kudo6} /
                          Extension{.protocol = KUDO_PROTOCOL_ROUTING} /
                          Udp{.source_port = 1, .destination_port = 3478};
    EXPECT_EQ(out(routed), "-ip_options");
}

TEST_F(Admission, PastItsDeadlineThePolicyItselfDropsNothing) {
    publish(KUDO_ENFORCE, KUDO_ADMISSION_ENFORCE, boot_time() + 3'600'000'000'000);
    EXPECT_EQ(in(udp4(stranger4, 1, host4, 2)), "-stranger");
    EXPECT_EQ(in(udp4(kudo4, 3478, host4, 40000)), "-unsolicited");
    EXPECT_EQ(out(udp4(host4, 40000, kudo4, 3479)), "-port_not_listed");
    publish(KUDO_ENFORCE, KUDO_ADMISSION_ENFORCE, boot_time() - 1);
    EXPECT_EQ(in(udp4(stranger4, 1, host4, 2)), "stranger");
    EXPECT_EQ(in(udp4(kudo4, 3478, host4, 40000)), "rule");
    EXPECT_EQ(out(udp4(host4, 40000, kudo4, 3479)), "port_not_listed");
    EXPECT_EQ(in(Ethernet{} / IPv4{.source = stranger4, .destination = host4, .total_length = 500} / Udp{}),
              "truncated_ip");
}

TEST_F(Admission, AFlowThatWasJudgedBeforeTheDeadlinePassesAfterIt) {
    publish(KUDO_ENFORCE, KUDO_ADMISSION_ENFORCE, boot_time() + 300'000'000);
    EXPECT_EQ(out(udp4(host4, 40000, kudo4, 3479)), "-port_not_listed");
    timespec pause{.tv_sec = 0, .tv_nsec = 350'000'000};
    nanosleep(&pause, nullptr);
    EXPECT_EQ(out(udp4(host4, 40000, kudo4, 3479)), "port_not_listed");
    EXPECT_EQ(in(udp4(stranger4, 1, host4, 2)), "stranger");
}

TEST_F(Admission, ARehearsalDropsNothingAndCountsWhatWouldBe) {
    publish(KUDO_PRIORITISE, KUDO_ADMISSION_REHEARSE);
    EXPECT_EQ(in(udp4(stranger4, 1, host4, 2)), "stranger");
    EXPECT_EQ(in(udp4(kudo4, 3478, host4, 40000)), "rule");
    EXPECT_EQ(out(udp4(host4, 40001, kudo4, 3478)), "rule");
    EXPECT_EQ(in(udp4(kudo4, 3478, host4, 40001)), "rule");
    EXPECT_EQ(in(tcp4(admin4, 1, host4, 22, syn)), "stranger");
    const auto counters = datapath_->counters();
    EXPECT_EQ(counters->would_drop[KUDO_REASON_STRANGER][KUDO_INGRESS].packets, 1u);
    EXPECT_EQ(counters->would_drop[KUDO_REASON_STRANGER][KUDO_INGRESS].bytes, 58u);
    EXPECT_EQ(counters->would_drop[KUDO_REASON_UNSOLICITED][KUDO_INGRESS].packets, 1u);
    uint64_t all = 0;
    for (const auto& reason : counters->would_drop)
        for (const kudo_counter& counter : reason)
            all += counter.packets;
    EXPECT_EQ(all, 2u);
    EXPECT_EQ(counters->denied_untracked, 0u);
}

TEST_F(Admission, AFloodIsCountedWholeAndNotedInPart) {
    constexpr int packets = 3000;
    for (int i = 0; i < packets; ++i)
        ASSERT_EQ(datapath_->run_xdp(udp4(stranger4, static_cast<uint16_t>(i + 1), host4, 2).bytes()).returned,
                  uint32_t{XDP_DROP});
    const auto counters = datapath_->counters();
    EXPECT_EQ(counters->reasons[KUDO_REASON_STRANGER][KUDO_INGRESS].packets, uint64_t{packets});
    uint64_t noted = 0;
    const auto walked = for_each_entry<kudo_flow4_key, kudo_denied>(
        datapath_->maps().denied4.get(), "denied flows", [&](const kudo_flow4_key&, const kudo_denied& denied) {
            EXPECT_EQ(denied.reasons[KUDO_INGRESS], KUDO_REASON_STRANGER);
            noted += denied.directions[KUDO_INGRESS].packets;
        });
    ASSERT_TRUE(walked);
    EXPECT_GE(noted, uint64_t{KUDO_DENIED_BURST});
    EXPECT_EQ(noted + counters->denied_untracked, uint64_t{packets});
}

} // namespace
} // namespace kudo::test
