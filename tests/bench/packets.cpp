// SPDX-License-Identifier: MIT
// ns per packet above an empty program, through BPF_PROG_TEST_RUN, by kind of packet.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "agent/datapath/bpf_object.h"
#include "maps/document/built_in.h"
#include "tests/bench/sections.h"
#include "tests/bench/stage.h"
#include "tests/support/dns_message.h"
#include "tests/support/packet_builder.h"

namespace kudo::bench {

using namespace test;

namespace {

// The built-in ranges, and one for IPv6, which KUDO has none of yet.
RangeMap map_with_ipv6() {
    RangeMap map = built_in_range_map();
    map.services.at(0).ranges.push_back({Prefix::parse("2001:db8:77::/48").value(), "2001:db8:77::/48"});
    return map;
}

struct Kind {
    std::string name;
    std::string source;
    Udp udp{};
    bool tcp = false, qinq = false, rtp = false;
    double goal = 0, tc_goal = goal;
};

std::vector<uint8_t> frame_of(const Kind& kind, bool egress) {
    Packet packet = Ethernet{};
    if (kind.qinq) {
        packet.add(Vlan{.tag = KUDO_ETHERTYPE_QINQ});
        packet.add(Vlan{});
    }
    const bool ipv6 = kind.source.find(':') != std::string::npos;
    const std::string local = ipv6 ? "2001:db8:1::2" : "10.77.0.2";
    const std::string& source = egress ? local : kind.source;
    const std::string& destination = egress ? kind.source : local;
    if (ipv6)
        packet.add(IPv6{.source = source, .destination = destination, .dsfield = 0x88});
    else
        packet.add(IPv4{.source = source, .destination = destination, .dsfield = 0x88});
    const uint16_t remote = kind.udp.source_port, here = kind.udp.destination_port;
    const uint16_t from = egress ? here : remote, to = egress ? remote : here;
    if (kind.tcp)
        packet.add(Tcp{.source_port = from, .destination_port = to});
    else
        packet.add(Udp{.source_port = from, .destination_port = to});
    Raw payload = Payload(172); // 20 ms of Opus
    if (kind.rtp) {
        const uint8_t header[] = {0x80, 111, 0, 1, 0, 0, 0, 1, 0xa0, 0xd1, 0, 1};
        std::ranges::copy(header, payload.bytes.begin());
    }
    packet.add(std::move(payload));
    return packet.bytes();
}

// One run each, since each response needs a query of its own. Every address is a new one.
struct DnsCost {
    Spread query, response;
};
DnsCost dns_cost(Stage& stage, int empty, unsigned addresses, Report& report) {
    const Options& options = report.options();
    const int out = stage.program(Program::TcEgress), in = stage.program(Program::TcIngress);
    std::vector<double> queries, responses;
    const auto known = [&] {
        std::size_t count = 0;
        value_of(for_each_entry<std::array<uint8_t, 4>, kudo_learned>(
            stage.data_path().maps().learned4.get(), "addresses", [&](const auto&, const auto&) { count++; }));
        return count;
    };
    const std::size_t before = known();
    constexpr unsigned each = 100; // of a round
    unsigned given = 0;
    for (int round = 0; round < options.rounds(); round++) {
        std::vector<double> alone, asked, answered;
        for (unsigned i = 0; i < each; i++) {
            const std::string name = fmt::format("anvil{}.tokbox.com", i), alias = "edge.example.net";
            const auto id = static_cast<uint16_t>(i);
            std::vector<DnsRecord> records;
            if (addresses > 1) records.push_back({name, alias});
            for (unsigned n = 0; n < addresses; n++, given++)
                records.push_back({addresses > 1 ? alias : name,
                                   fmt::format("18.{}.{}.{}", 100 + addresses, given >> 8 & 255, given & 255)});
            const Packet query = Ethernet{} / IPv4{.source = "10.77.0.2", .destination = "198.51.100.7"} /
                                 Udp{.source_port = 40000, .destination_port = 53} / Raw{dns_question(name, id)};
            const Packet response = Ethernet{} / IPv4{.source = "198.51.100.7", .destination = "10.77.0.2"} /
                                    Udp{.source_port = 53, .destination_port = 40000} /
                                    Raw{dns_answer(name, records, id)};
            alone.push_back(test_run(empty, response.bytes(), 1));
            asked.push_back(test_run(out, query.bytes(), 1));
            answered.push_back(test_run(in, response.bytes(), 1));
        }
        const double unit = spread_of(std::move(alone)).median;
        queries.push_back(spread_of(std::move(asked)).median - unit);
        responses.push_back(spread_of(std::move(answered)).median - unit);
    }
    report.require(known() - before == given, "not all addresses were learned");
    return {spread_of(std::move(queries)), spread_of(std::move(responses))};
}

} // namespace

void measure_packets(const TestHost& host, Report& report) {
    const Options& options = report.options();
    Stage stage(host, "packets", map_with_ipv6(), KUDO_PRIORITISE, 1 << 20);
    const int empty = stage.bench_program("empty"), xdp = stage.program(Program::Xdp);
    const Udp any{.source_port = 4500, .destination_port = 40000}, dns{.source_port = 53, .destination_port = 40000},
        media{.source_port = 3478, .destination_port = 40000}, web{.source_port = 443, .destination_port = 40000};
    const std::vector<Kind> kinds = {
        {.name = "stranger, UDP", .source = "198.51.100.7", .udp = any, .goal = 5, .tc_goal = 8},
        {.name = "stranger, TCP 443", .source = "151.101.1.69", .udp = web, .tcp = true, .goal = 5, .tc_goal = 8},
        {.name = "stranger, IPv6", .source = "2a00:1450:4001::5", .udp = any, .goal = 12},
        {.name = "stranger, DNS (out: its question is read)", .source = "198.51.100.7", .udp = dns},
        {.name = "stranger, QinQ", .source = "198.51.100.7", .udp = any, .qinq = true, .goal = 25},
        {.name = "near miss (a range's /16)", .source = "3.123.77.1", .udp = web, .tcp = true, .goal = 60},
        {.name = "near miss (a range's /24)", .source = "3.123.12.200", .udp = web, .tcp = true},
        {.name = "near miss, IPv6 (a range's /32)", .source = "2001:db8:99::1", .udp = any, .goal = 60},
        {.name = "known flow, fallback", .source = "3.123.12.129", .udp = web, .tcp = true, .goal = 12},
        {.name = "known flow, control", .source = "3.97.146.187", .udp = web, .tcp = true, .goal = 12},
        {.name = "known flow, IPv6 fallback", .source = "2001:db8:77::9", .udp = web, .tcp = true, .goal = 12},
        {.name = "known flow, QinQ fallback",
         .source = "3.123.12.130",
         .udp = web,
         .tcp = true,
         .qinq = true,
         .goal = 25},
        {.name = "known flow, media that is no RTP", .source = "3.123.12.129", .udp = media},
        {.name = "known flow, IPv6 media that is no RTP", .source = "2001:db8:77::9", .udp = media},
    };
    report.section("ns per packet above an empty program");
    std::vector<double> alone;
    for (int round = 0; round < options.rounds(); round++)
        alone.push_back(undisturbed_run(empty, frame_of(kinds[0], false), options.repeats()));
    report.line("(the empty XDP program itself, and the test run)", "ns", spread_of(alone));
    report.line("XDP: parse only", "ns",
                compare(stage.bench_program("parse"), empty, frame_of(kinds[0], false), options));
    // The check is against the empty program of this run, which a machine under load slows down as well: four times its
    // time for what has a goal below 12 ns, six times for what has that, fifteen times for the others, thirty where RTP is
    // followed: that takes memory that an empty program does not touch.
    const double unit = spread_of(alone).median;
    for (const Kind& kind : kinds)
        report.line("XDP: " + kind.name, "ns", compare(xdp, empty, frame_of(kind, false), options), kind.goal,
                    kind.goal == 0 ? 0
                                   : unit * (kind.goal < 12    ? 4
                                             : kind.goal <= 12 ? 6
                                                               : 15));
    // What the fast path through the parser and the flow cache save, as ratios: without them both would be above 1.
    // For the reader: on a busy machine they scatter too much to fail a run.
    const auto ratio = [&](const Kind& kind, const char* least) {
        const auto frame = frame_of(kind, false);
        std::vector<double> ratios;
        for (int round = 0; round < options.rounds(); round++) {
            const double nothing = undisturbed_run(empty, frame, options.repeats());
            const double whole = undisturbed_run(xdp, frame, options.repeats());
            const double part = undisturbed_run(stage.bench_program(least), frame, options.repeats());
            ratios.push_back((whole - nothing) / std::max(part - nothing, 1.0));
        }
        return spread_of(std::move(ratios));
    };
    report.line("XDP: a stranger, of the slow path through the parser", "x", ratio(kinds[0], "parse_slow"));
    report.line("XDP: a known flow, of one lookup in the flow table", "x", ratio(kinds[8], "lookup"));
    const int empty_tc = stage.bench_program("empty_tc");
    for (const auto& [name, which] :
         {std::pair{"tc ingress: ", Program::TcIngress}, {"tc egress: ", Program::TcEgress}}) {
        const int program = stage.program(which);
        for (const Kind& kind : kinds)
            report.line(name + kind.name, "ns",
                        compare(program, empty_tc, frame_of(kind, which == Program::TcEgress), options), kind.tc_goal);
    }
    const DnsCost one = dns_cost(stage, empty_tc, 1, report), many = dns_cost(stage, empty_tc, 8, report);
    report.line("tc egress: DNS, a query for a name of the map", "ns", one.query, 2000, unit * 500);
    report.line("tc ingress: DNS, its response, a new address", "ns", one.response, 2000, unit * 1000);
    report.line("tc ingress: DNS, its response, an alias and 8 new addresses", "ns", many.response, 2000, unit * 2000);

    // Audio, a new packet each time: its stream is found, its step is looked at, and on egress the packet is marked.
    const Kind rtp{.name = "", .source = "3.123.12.129", .udp = media, .rtp = true};
    report.line("XDP: media in, RTP followed", "ns",
                compare(stage.bench_program("rtp_in_xdp"), stage.bench_program("rtp_in_xdp_empty"),
                        frame_of(rtp, false), options));
    report.line(
        "tc ingress: media in, RTP followed", "ns",
        compare(stage.bench_program("rtp_in"), stage.bench_program("rtp_in_empty"), frame_of(rtp, false), options));
    report.line(
        "tc egress: media out, RTP followed, marked", "ns",
        compare(stage.bench_program("rtp_out"), stage.bench_program("rtp_out_empty"), frame_of(rtp, true), options),
        115, unit * 30);

    // Each packet begins a flow.
    const auto frame = frame_of(kinds[8], false);
    const uint32_t count = options.quick ? 20'000 : 50'000;
    std::vector<double> first;
    for (int round = 0; round < options.rounds(); round++) {
        stage.set_flows(count, static_cast<uint32_t>(round + 1) * count);
        const double before = test_run(stage.bench_program("flows_empty"), frame, count);
        stage.set_flows(count, static_cast<uint32_t>(round + 1) * count);
        first.push_back(test_run(stage.bench_program("flows"), frame, count) - before);
    }
    report.line("XDP: first packet of a flow", "ns", spread_of(first));
}

} // namespace kudo::bench
