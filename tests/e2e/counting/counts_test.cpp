// SPDX-License-Identifier: MIT
// Every counter of `stats --json` against what was sent, on a line that carries nothing else.
// Invariant: each flow has packet sizes of its own, so that a packet counted in the wrong place shows in the bytes.
#include "tests/e2e/link_fixture.h"

#include <netinet/in.h>

namespace kudo::test {
namespace {

constexpr unsigned packets = 10'000;
constexpr unsigned header4 = 20, header6 = 40, udp_header = 8, tcp_header = 20;

struct SentFlow {
    std::string protocol, service, class_, range;
    Endpoint local, remote;
    Count ingress, egress;
    uint8_t dsfield; // with which it leaves
};

class Counts : public LineTest, public testing::WithParamInterface<IngressKind> {
protected:
    // Datagrams out with `out` bytes of payload and in with `in` bytes.
    SentFlow udp(const std::string& local, const std::string& remote, uint16_t port, std::size_t out, std::size_t in) {
        const Endpoint here{local, port}, there{remote, 3478};
        const Fd near = udp_socket(test_->host, here), far = udp_socket(test_->far, there);
        send_datagrams(near.get(), there, far.get(), packets, out);
        send_datagrams(far.get(), here, near.get(), packets, in);
        const bool v6 = local.find(':') != std::string::npos;
        const std::size_t headers = (v6 ? header6 : header4) + udp_header;
        return {"udp",
                "media",
                "media",
                v6 ? "2001:db8:77::/48" : "3.123.12.128/28",
                here,
                there,
                {packets, packets * (headers + in)},
                {packets, packets * (headers + out)},
                34 << 2};
    }
    // The same frame out and in, its addresses and ports exchanged. `make`: (source, destination) -> frame.
    template <typename Make> void frames(const Endpoint& here, const Endpoint& there, const Make& make) {
        const Capture near_end(test_->host, "eth0"), far_end(test_->far, "eth0");
        FrameSender(test_->host, "eth0").send_many(make(here, there).bytes(), packets, far_end);
        FrameSender(test_->far, "eth0").send_many(make(there, here).bytes(), packets, near_end);
    }
    SentFlow tcp(const std::string& remote, uint16_t port, std::size_t size) {
        const bool media = remote != region_address;
        const Endpoint here{host_address, port}, there{remote, 443};
        frames(here, there, [&](const Endpoint& from, const Endpoint& to) {
            return Ethernet{} / IPv4{.source = from.address, .destination = to.address} /
                   Tcp{.source_port = from.port, .destination_port = to.port} / Payload(size);
        });
        const Count both{packets, packets * (header4 + tcp_header + size)};
        return {"tcp",
                media ? "media" : "region-ca",
                media ? "fallback" : "control",
                media ? "3.123.12.128/28" : "3.97.146.187/32",
                here,
                there,
                both,
                both,
                static_cast<uint8_t>(media ? 34 << 2 : 18 << 2)};
    }
    SentFlow qinq(const std::string& remote, uint16_t port, std::size_t size) {
        const Endpoint here{host_address, port}, there{remote, 3478};
        frames(here, there, [&](const Endpoint& from, const Endpoint& to) {
            return Ethernet{} / Vlan{.id = 100, .tag = KUDO_ETHERTYPE_QINQ} / Vlan{.id = 7} /
                   IPv4{.source = from.address, .destination = to.address} /
                   Udp{.source_port = from.port, .destination_port = to.port} / Payload(size);
        });
        const Count both{packets, packets * (header4 + udp_header + size)};
        return {"udp", "media", "media", "3.123.12.128/28", here, there, both, both, 34 << 2};
    }
};

void add(Count& sum, const Count& count) {
    sum.packets += count.packets;
    sum.bytes += count.bytes;
}

void expect_totals_are_the_sum_of_reasons(const nlohmann::json& stats) {
    for (const char* direction : {"ingress", "egress"}) {
        Count sum;
        for (const auto& [name, reason] : stats.at("reasons").items())
            add(sum, count_of(reason.at(direction)));
        EXPECT_EQ(count_of(stats.at("totals").at(direction)), sum) << direction;
    }
}

TEST_P(Counts, OfEveryFlowServiceAndReasonEqualWhatWasSent) {
    test_->add_far_address("3.123.12.130/32");
    quieten();
    enable_as(GetParam());
    apply_map_with_ipv6();

    Capture far_end(test_->far, "eth0");
    const double begun = seconds_now();
    const SentFlow flows[] = {
        udp(host_address, media_address, 50001, 100, 1000),
        udp(host_address6, media_address6, 50002, 120, 900),
        tcp("3.123.12.130", 50003, 200),
        tcp(region_address, 50004, 300),
        qinq("3.123.12.131", 50005, 400),
    };
    const SentFlow stranger = udp(host_address, stranger_address, 50006, 110, 1010);
    const auto stats = test_->stats();
    const double ended = seconds_now();
    const auto wire = far_end.finish();

    Count rule_in, rule_out, media_in, media_out;
    for (const SentFlow& sent : flows) {
        SCOPED_TRACE(sent.protocol + " " + sent.local.address + " " + sent.remote.address);
        const auto flow = find_flow(stats, sent.protocol, sent.local, sent.remote);
        ASSERT_TRUE(flow.is_object()) << stats.at("flows").dump(1);
        EXPECT_EQ(count_of(flow.at("ingress")), sent.ingress);
        EXPECT_EQ(count_of(flow.at("egress")), sent.egress);
        EXPECT_EQ(flow.at("service"), sent.service);
        EXPECT_EQ(flow.at("class"), sent.class_);
        EXPECT_EQ(flow.at("range"), sent.range);
        EXPECT_EQ(flow.at("interface"), "eth0");
        EXPECT_EQ(flow.at("verdict"), "prioritise");
        EXPECT_EQ(flow.at("reason"), "rule");
        const double first = seconds_of(flow.at("first_seen")), last = seconds_of(flow.at("last_seen"));
        EXPECT_LT(first, last); // 10,000 packets each way take longer than a tick
        EXPECT_GT(first, begun - 0.1);
        EXPECT_LT(last, ended + 0.1);
        // What left is on the wire, and each packet of it is marked.
        const uint8_t protocol = sent.protocol == "udp" ? IPPROTO_UDP : IPPROTO_TCP;
        EXPECT_EQ(count_between(wire, protocol, sent.local, sent.remote), sent.egress);
        add(rule_in, sent.ingress);
        add(rule_out, sent.egress);
        if (sent.service == "media") add(media_in, sent.ingress);
        if (sent.service == "media") add(media_out, sent.egress);
    }
    for (const Frame& frame : wire) {
        const auto seen = frame.outgoing ? std::nullopt : see_frame(frame.bytes);
        if (!seen) continue;
        uint8_t expected = 0;
        for (const SentFlow& sent : flows)
            if (seen->destination == sent.remote.address) expected = sent.dsfield;
        ASSERT_EQ(seen->dsfield, expected) << seen->destination;
        ASSERT_TRUE(seen->checksum_right) << seen->destination;
    }
    EXPECT_EQ(stats.at("flows").size(), std::size(flows)) << "a stranger, or something else, has become a flow";

    const auto& reasons = stats.at("reasons");
    EXPECT_EQ(count_of(reasons.at("rule").at("ingress")), rule_in);
    EXPECT_EQ(count_of(reasons.at("rule").at("egress")), rule_out);
    EXPECT_EQ(count_of(reasons.at("stranger").at("ingress")), stranger.ingress);
    EXPECT_EQ(count_of(reasons.at("stranger").at("egress")), stranger.egress);
    for (const auto& [name, reason] : reasons.items())
        for (const char* direction : {"ingress", "egress"}) {
            if (name == "rule" || name == "stranger") continue;
            EXPECT_EQ(count_of(reason.at(direction)), Count{}) << name << " " << direction;
        }
    expect_totals_are_the_sum_of_reasons(stats);
    EXPECT_EQ(count_of(stats.at("services").at("media").at("ingress")), media_in);
    EXPECT_EQ(count_of(stats.at("services").at("media").at("egress")), media_out);
    EXPECT_EQ(count_of(stats.at("services").at("region-ca").at("ingress")), flows[3].ingress);
    EXPECT_EQ(count_of(stats.at("services").at("region-ca").at("egress")), flows[3].egress);
    EXPECT_EQ(stats.at("unrecorded_flow_packets"), 0);
    EXPECT_EQ(stats.at("evicted_flow_packets"), 0);

    EXPECT_TRUE(somebodys_xdp_stands());
    ASSERT_EQ(test_->agent({"disable"}).status, 0);
    EXPECT_TRUE(somebodys_xdp_stands());
}

// A forged flood takes the rows of a small table: what is missing in the flows is said.
TEST_F(LineTest, WhatAFullFlowTableGaveAwayIsSaid) {
    enable({"--max-flows", "1024"});
    const FrameSender sender(test_->far, "eth0");
    for (unsigned port = 1; port <= 5000; port++)
        sender.send((Ethernet{} / IPv4{.source = media_address, .destination = host_address} /
                     Udp{.source_port = 3478, .destination_port = static_cast<uint16_t>(port)} / Payload(20))
                        .bytes());
    const auto stats = test_->stats();
    const uint64_t sent = count_of(stats.at("reasons").at("rule").at("ingress")).packets;
    ASSERT_GE(sent, 5000u);
    uint64_t in_flows = 0;
    for (const auto& flow : stats.at("flows"))
        in_flows += count_of(flow.at("ingress")).packets + count_of(flow.at("egress")).packets;
    EXPECT_LT(in_flows, sent);
    EXPECT_LE(stats.at("flow_table").at("entries"), stats.at("flow_table").at("capacity"));
    EXPECT_EQ(in_flows + stats.at("evicted_flow_packets").get<uint64_t>(),
              sent + count_of(stats.at("reasons").at("rule").at("egress")).packets);
    EXPECT_NE(test_->agent({"stats"}).out.find("The flow table was full"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Ingress, Counts, all_ingress_kinds, name_of_ingress);

} // namespace
} // namespace kudo::test
