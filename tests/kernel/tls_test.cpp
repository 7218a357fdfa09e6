// SPDX-License-Identifier: MIT
// TLS names: connections that become KUDO's by the ClientHello that this host sends, in each wrapping and in parts.
// Invariant: expectations are written by hand.
#include <random>

#include "tests/kernel/stranger_frames.h"
#include "tests/support/tls_hello.h"
#include "tests/support/tls_walk.h"

namespace kudo::test {
namespace {

constexpr const char* name = "live.kudoway.ca";
constexpr const char* remote = "18.156.200.9";

class TlsNames : public KernelTest {
protected:
    void SetUp() override {
        KernelTest::SetUp();
        if (!IsSkipped()) load(KUDO_LINK_ETHERNET);
    }
    void load(kudo_link_layer link) {
        datapath_.emplace(Datapath::Options{.link = link});
        link_ = link;
        generation_ = 0;
        publish(options_for(KUDO_PRIORITISE));
    }
    void publish(const CompileOptions& options) {
        datapath_->publish(compile(map_here(), options, {}).value(), ++generation_);
    }
    struct Connection {
        std::string to = remote;
        uint16_t port = 443, from = 50000;
        Shape shape = Shape::Plain;
    };
    Packet begun(const Connection& connection) const {
        const bool ipv6 = connection.to.find(':') != std::string::npos;
        Packet packet;
        if (link_ == KUDO_LINK_ETHERNET) packet.add(Ethernet{});
        if (connection.shape == Shape::QinQ) packet.add(Vlan{.id = 100, .tag = KUDO_ETHERTYPE_QINQ});
        if (connection.shape == Shape::Vlan || connection.shape == Shape::QinQ) packet.add(Vlan{.id = 7});
        if (ipv6)
            packet.add(IPv6{.source = local6, .destination = connection.to});
        else
            packet.add(IPv4{.source = local4,
                            .destination = connection.to,
                            .options = connection.shape == Shape::Options ? Bytes(8, 1) : Bytes{}});
        return packet;
    }
    // Sends a part of the connection's data, and tells the reason that it was counted under.
    kudo_reason send(const Connection& connection, std::span<const uint8_t> data, uint32_t sequence = 1,
                     uint8_t flags = 0x18) {
        Packet packet = begun(connection);
        packet.add(Tcp{
            .source_port = connection.from, .destination_port = connection.port, .sequence = sequence, .flags = flags});
        packet.add(Raw{.bytes = Bytes(data.begin(), data.end())});
        return run(packet);
    }
    // The connection's SYN, before the byte of that number.
    kudo_reason open(const Connection& connection, uint32_t sequence = 1) {
        return send(connection, {}, sequence - 1, KUDO_TCP_SYN);
    }
    // Its SYN, and its first data.
    kudo_reason greet(const Connection& connection, std::span<const uint8_t> data, uint32_t sequence = 1) {
        open(connection, sequence);
        return send(connection, data, sequence);
    }
    kudo_reason run(const Packet& packet) {
        const auto before = datapath_->counters();
        EXPECT_EQ(datapath_->run_tc(KUDO_EGRESS, packet.bytes()).error, 0);
        const auto after = datapath_->counters();
        for (unsigned reason = 0; reason < KUDO_REASON_END; reason++)
            if (after->reasons[reason][KUDO_EGRESS].packets != before->reasons[reason][KUDO_EGRESS].packets)
                return static_cast<kudo_reason>(reason);
        ADD_FAILURE() << "nothing was counted";
        return KUDO_REASON_END;
    }
    kudo_reason reason(const Connection& connection) { return send(connection, {}, 5000, 0x10); }
    uint64_t outcomes(kudo_tls_outcome outcome) { return datapath_->counters()->tls[outcome]; }
    // "named 1, other 2": what there is more since the last time.
    std::string more() {
        static constexpr const char* names[] = {"named", "doh", "dot", "other", "ech", "no_name", "unreadable", "quic"};
        const auto counters = datapath_->counters();
        std::string text;
        for (unsigned i = 0; i < KUDO_TLS_END; i++)
            if (const uint64_t count = counters->tls[i] - seen_[i]; count > 0) {
                text += (text.empty() ? "" : ", ") + std::string(names[i]) + " " + std::to_string(count);
                seen_[i] = counters->tls[i];
            }
        return text;
    }

    std::optional<Datapath> datapath_;
    kudo_link_layer link_ = KUDO_LINK_ETHERNET;
    uint32_t generation_ = 0;
    std::array<uint64_t, KUDO_TLS_END> seen_{};
};

TEST_F(TlsNames, MakeThatConnectionKudosInEveryWrapping) {
    uint16_t from = 50000;
    // 3.123.12.200 is near a range: the prefilters let it pass.
    for (const char* to : {remote, "3.123.12.200", "2a05:d018::9"})
        for (const Shape shape : {Shape::Plain, Shape::Vlan, Shape::QinQ, Shape::Options}) {
            const Connection connection{to, 443, ++from, shape}, other{to, 443, ++from, shape};
            EXPECT_EQ(greet(connection, client_hello(name)), KUDO_REASON_STRANGER) << to;
            EXPECT_EQ(reason(connection), KUDO_REASON_NAME) << to << " " << static_cast<int>(shape);
            EXPECT_EQ(reason(other), KUDO_REASON_STRANGER) << "another connection to the same address";
            EXPECT_EQ(more(), "named 1");
        }
    load(KUDO_LINK_NONE);
    seen_ = {};
    for (const char* to : {remote, "2a05:d018::9"}) {
        EXPECT_EQ(greet({to}, client_hello(name)), KUDO_REASON_STRANGER);
        EXPECT_EQ(reason({to}), KUDO_REASON_NAME);
        EXPECT_EQ(more(), "named 1");
    }
}

TEST_F(TlsNames, AreOfTheServicesPortsAndClassControl) {
    EXPECT_EQ(greet({.port = 8445}, client_hello(name)), KUDO_REASON_STRANGER);
    EXPECT_EQ(reason({.port = 8445}), KUDO_REASON_STRANGER) << "no port of the service";
    EXPECT_EQ(more(), "other 1");
    EXPECT_EQ(greet({.port = 4443}, client_hello(name)), KUDO_REASON_STRANGER);
    EXPECT_EQ(more(), "") << "no port that is looked at";
    greet({}, client_hello(name));
    reason({});
    const auto counters = datapath_->counters();
    uint64_t control = 0;
    for (const auto& service : counters->services)
        control += service[KUDO_CLASS_CONTROL][KUDO_EGRESS].packets;
    EXPECT_EQ(control, 1u) << "of a service of class media";
}

TEST_F(TlsNames, AreMatchedAsTheMapWritesThem) {
    uint16_t from = 50000;
    const auto is_named = [&](std::string_view text) {
        const Connection connection{.from = ++from};
        greet(connection, client_hello(text));
        return reason(connection) == KUDO_REASON_NAME;
    };
    for (const char* text : {"live.kudoway.ca", "LIVE.KudoWay.CA", "a.b.c.d.e.f.g.h.i.kudoway.ca", "x.kudoway.ca"})
        EXPECT_TRUE(is_named(text)) << text;
    for (const std::string& text :
         {std::string("kudoway.ca"), std::string("xkudoway.ca"), std::string("live.kudoway.ca.example.com"),
          std::string("live.kudoway.c"), std::string("."), std::string("...."), std::string(254, '.'),
          std::string("live..kudoway.ca."), std::string(64, 'a') + ".kudoway.ca", std::string("\0.kudoway.ca\0", 13),
          std::string("live\x06kudoway\x02"
                      "ca"),
          std::string("18.156.200.9")})
        EXPECT_FALSE(is_named(text)) << text;
    EXPECT_TRUE(is_named(std::string(60, 'a') + "." + std::string(60, 'b') + "." + std::string(60, 'c') + "." +
                         std::string(58, 'd') + ".kudoway.ca"));
}

TEST_F(TlsNames, AreReadFromHellosInPartsCutAnywhere) {
    const Bytes hello = client_hello({{43, {4, 3, 4, 3, 3}}, server_name(name), {21, Bytes(9)}});
    uint16_t from = 20000;
    for (std::size_t cut = KUDO_HELLO_LEAST; cut < hello.size(); cut++) {
        const Connection connection{.from = ++from};
        EXPECT_EQ(greet(connection, std::span(hello).first(cut), 1000), KUDO_REASON_STRANGER);
        send(connection, std::span(hello).subspan(cut), 1000 + static_cast<uint32_t>(cut));
        ASSERT_EQ(reason(connection), KUDO_REASON_NAME) << cut;
        ASSERT_EQ(more(), "named 1") << cut;
    }
    // As large as a browser's, in three segments, of several connections in turn, the first segment sent twice.
    const Bytes large = client_hello({key_share(1220), {65281, {0}}, encrypted_hello(), server_name(name)});
    for (const char* to : {remote, "2a05:d018::9"}) {
        for (uint32_t part = 0; part < 3; part++)
            for (uint16_t i = 0; i < 20; i++) {
                const Connection connection{to, 443, static_cast<uint16_t>(30000 + i)};
                const std::size_t begin = part * std::size_t{600};
                const auto data = std::span(large).subspan(begin, std::min<std::size_t>(600, large.size() - begin));
                const uint32_t sequence = 0xffffff00 + i + part * 600; // wraps
                if (part == 0) greet(connection, data, sequence);
                send(connection, data, sequence);
            }
        for (uint16_t i = 0; i < 20; i++)
            EXPECT_EQ(reason({to, 443, static_cast<uint16_t>(30000 + i)}), KUDO_REASON_NAME);
        EXPECT_EQ(more(), "named 20");
    }
}

TEST_F(TlsNames, AreNotPutTogetherFromWhatIsNoStream) {
    const Bytes hello = client_hello(name);
    const auto half = std::span(hello).first(60), rest = std::span(hello).subspan(60);
    greet({.from = 1}, half, 1000);
    send({.from = 1}, rest, 1061);
    EXPECT_EQ(reason({.from = 1}), KUDO_REASON_STRANGER) << "a byte is missing between";
    greet({.from = 2}, half, 1000);
    greet({.from = 3}, rest, 1060);
    EXPECT_EQ(reason({.from = 3}), KUDO_REASON_STRANGER) << "of another connection";
    send({.from = 2}, rest, 1060);
    EXPECT_EQ(reason({.from = 2}), KUDO_REASON_NAME);
    greet({.from = 4}, rest, 1000);
    EXPECT_EQ(reason({.from = 4}), KUDO_REASON_STRANGER);
    EXPECT_EQ(more(), "named 1");
}

TEST_F(TlsNames, AreReadOnlyAtTheBeginningOfConnectionsThatThisHostOpened) {
    const Bytes hello = client_hello(name);
    send({.from = 1}, hello);
    EXPECT_EQ(reason({.from = 1}), KUDO_REASON_STRANGER) << "nothing is known of its beginning";
    open({.from = 2}, 1000);
    send({.from = 2}, hello, 1001);
    EXPECT_EQ(reason({.from = 2}), KUDO_REASON_STRANGER) << "a byte was sent before";
    send({.from = 2}, hello, 1000);
    EXPECT_EQ(reason({.from = 2}), KUDO_REASON_NAME);
    send({.from = 3}, {}, 999, KUDO_TCP_SYN | KUDO_TCP_ACK);
    send({.from = 3}, hello, 1000);
    EXPECT_EQ(reason({.from = 3}), KUDO_REASON_STRANGER) << "the other side has opened it: a service's bytes";
    for (int i = 10; i < 250; i++)
        open({"18.156.200." + std::to_string(i), 443, 4}, 1000);
    send({.from = 4}, hello, 1000);
    EXPECT_EQ(reason({.from = 4}), KUDO_REASON_STRANGER) << "another address's";
    open({.from = 5}, 1000);
    open({.from = 5}, 2000);
    send({.from = 5}, hello, 1000);
    EXPECT_EQ(reason({.from = 5}), KUDO_REASON_STRANGER) << "a later connection from the same port";
    greet({"192.168.2.10", 443, 7}, hello);
    EXPECT_EQ(reason({"192.168.2.10", 443, 7}), KUDO_REASON_STRANGER)
        << "a server behind this gateway, named by its clients";
    EXPECT_EQ(more(), "named 1, other 1");
    send({.from = 6}, hello, 999, KUDO_TCP_SYN);
    EXPECT_EQ(reason({.from = 6}), KUDO_REASON_NAME) << "data in the SYN: RFC 7413";
    EXPECT_EQ(more(), "named 1");
    // As many as are remembered at once: of a few the place is taken before they are done.
    constexpr unsigned connections = 200;
    for (uint16_t i = 0; i < connections; i++)
        open({.from = static_cast<uint16_t>(10000 + i)}, i * 7919u);
    for (uint16_t i = 0; i < connections; i++)
        send({.from = static_cast<uint16_t>(10000 + i)}, hello, i * 7919u);
    EXPECT_GE(outcomes(KUDO_TLS_NAMED), 2 + connections * 9 / 10);
}

TEST_F(TlsNames, WhatCannotBeSeenIsCounted) {
    uint16_t from = 50000;
    const auto hello = [&](const Bytes& bytes, const char* to = remote) {
        greet({to, 443, ++from}, bytes);
        return more();
    };
    EXPECT_EQ(hello(client_hello("www.example.com")), "other 1");
    EXPECT_EQ(hello(client_hello({key_share()})), "no_name 1");
    EXPECT_EQ(hello(client_hello({server_name("front.example"), encrypted_hello()})), "ech 1");
    EXPECT_EQ(hello(client_hello({server_name(name), encrypted_hello()})), "named 1") << "the outer name is the map's";
    const Bytes large = client_hello({key_share(KUDO_HELLO_BYTES), server_name(name)});
    EXPECT_EQ(hello({large.begin(), large.begin() + 3000}), "");
    send({remote, 443, from}, std::span(large).subspan(3000), 3001);
    EXPECT_EQ(more(), "unreadable 1");
    Bytes records = client_hello(name);
    records[4] -= 10;
    EXPECT_EQ(hello(records), "unreadable 1");
    EXPECT_EQ(hello(client_hello("dns.google"), "8.8.8.8"), "doh 1");
    EXPECT_EQ(hello(client_hello({key_share()}), "2606:4700:4700::1111"), "doh 1");
    EXPECT_EQ(hello({23, 3, 3, 0, 20}), "") << "no handshake";
    EXPECT_EQ(hello({}), "");

    open({remote, 853, ++from});
    EXPECT_EQ(more(), "dot 1");
    send({remote, 853, from}, client_hello("dns.example"));
    EXPECT_EQ(more(), "") << "once for each connection";

    const auto datagram = [&](const char* to, uint16_t port, uint8_t head, std::size_t size) {
        Bytes payload(size, 0x5a);
        payload[0] = head;
        std::fill_n(payload.begin() + 1, 4, 0);
        payload[4] = 1;
        Packet packet = begun({to});
        packet.add(Udp{.source_port = ++from, .destination_port = port});
        packet.add(Raw{.bytes = payload});
        run(packet);
        return more();
    };
    EXPECT_EQ(datagram(remote, 443, 0xc3, 1200), "quic 1");
    EXPECT_EQ(datagram("2a05:d018::9", 443, 0xc0, 1350), "quic 1");
    EXPECT_EQ(datagram("1.1.1.1", 443, 0xc3, 1200), "doh 1");
    EXPECT_EQ(datagram(remote, 853, 0xc3, 1200), "dot 1");
    EXPECT_EQ(datagram(remote, 443, 0x43, 1200), "");
    EXPECT_EQ(datagram(remote, 8445, 0xc3, 1200), "");
}

TEST_F(TlsNames, NeverTouchWhatARangeOrDnsHasJudged) {
    const Connection media{"3.123.12.129", 443, 50000};
    EXPECT_EQ(greet(media, client_hello(name)), KUDO_REASON_RULE);
    EXPECT_EQ(greet({"3.123.12.129", 443, 50000, Shape::Vlan}, client_hello(name)), KUDO_REASON_RULE);
    EXPECT_EQ(reason(media), KUDO_REASON_RULE);
    EXPECT_EQ(more(), "");
}

TEST_F(TlsNames, GetNoFirewallMark) {
    CompileOptions options = options_for(KUDO_PRIORITISE);
    options.firewall_mark = options.firewall_mark_mask = 0x40;
    publish(options);
    const auto answer = [&](const char* from) {
        const Packet packet = Ethernet{} / IPv4{.source = from, .destination = local4} /
                              Tcp{.source_port = 443, .destination_port = 50000};
        return datapath_->run_tc(KUDO_INGRESS, packet.bytes()).skb.mark;
    };
    greet({}, client_hello(name));
    EXPECT_EQ(reason({}), KUDO_REASON_NAME);
    EXPECT_EQ(answer(remote), 0u) << "any process can send a ClientHello";
    EXPECT_EQ(reason({"3.123.12.129"}), KUDO_REASON_RULE);
    EXPECT_EQ(answer("3.123.12.129"), 0x40u);
}

TEST_F(TlsNames, StayWithTheirFlowOverAChangeOfThePolicyButNotUnderAdmission) {
    const Connection connection{};
    greet(connection, client_hello(name));
    publish(options_for(KUDO_OBSERVE));
    EXPECT_EQ(reason(connection), KUDO_REASON_NAME);
    for (const kudo_admission admission : {KUDO_ADMISSION_REHEARSE, KUDO_ADMISSION_ENFORCE}) {
        CompileOptions options = options_for(admission == KUDO_ADMISSION_ENFORCE ? KUDO_ENFORCE : KUDO_PRIORITISE);
        options.admission = admission;
        publish(options);
        EXPECT_EQ(reason(connection), KUDO_REASON_STRANGER) << "who sends it writes the name itself";
        const Connection another{.from = 50001};
        greet(another, client_hello(name));
        EXPECT_EQ(reason(another), KUDO_REASON_STRANGER);
        publish(options_for(KUDO_PRIORITISE));
        greet(connection, client_hello(name));
        EXPECT_EQ(reason(connection), KUDO_REASON_NAME);
    }
}

TEST_F(TlsNames, OfRandomHellosAreWhatTheNativeCodeReads) {
    std::mt19937 random(29);
    uint64_t named = 0;
    for (unsigned i = 0; i < 3000; i++) {
        std::vector<TlsExtension> extensions;
        for (unsigned n = random() % 6; n > 0; n--)
            extensions.emplace_back(random() % 60 + 1, Bytes(random() % 200));
        if (random() % 3) extensions.push_back(server_name(random() % 2 ? name : "www.example.com"));
        if (random() % 4 == 0) extensions.push_back(encrypted_hello());
        std::shuffle(extensions.begin(), extensions.end(), random);
        Bytes hello = client_hello(extensions);
        if (random() % 2) hello[random() % hello.size()] ^= static_cast<uint8_t>(1u << random() % 8);
        if (random() % 4 == 0) hello.resize(random() % hello.size());
        const Connection connection{.from = static_cast<uint16_t>(10000 + i)};
        greet(connection, hello);
        const TlsWalk walk = tls_walk_of(hello);
        std::string lower = walk.name;
        std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
        const bool begins = hello.size() >= KUDO_HELLO_LEAST && kudo_begins_hello(hello.data());
        const std::string expected = !begins                                               ? ""
                                     : lower.size() > 11 && lower.ends_with(".kudoway.ca") ? "named 1"
                                     : walk.state == KUDO_HELLO_SHORT                      ? ""
                                     : walk.state != KUDO_HELLO_ENDS                       ? "unreadable 1"
                                     : walk.has_ech                                        ? "ech 1"
                                     : walk.name.empty()                                   ? "no_name 1"
                                                                                           : "other 1";
        ASSERT_EQ(more(), expected) << i;
        named += expected == "named 1";
        ASSERT_EQ(reason(connection), expected == "named 1" ? KUDO_REASON_NAME : KUDO_REASON_STRANGER);
    }
    EXPECT_GT(named, 500u);
}

} // namespace
} // namespace kudo::test
