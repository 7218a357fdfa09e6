// SPDX-License-Identifier: MIT
// What a packet costs while every packet of the host is put to the rules of admission, above an empty program.
#include "maps/document/built_in.h"
#include "tests/bench/sections.h"
#include "tests/bench/stage.h"
#include "tests/support/packet_builder.h"

namespace kudo::bench {

using namespace test;

void measure_enforce(const TestHost& host, Report& report) {
    const Options& options = report.options();
    Stage stage(host, "enforce", built_in_range_map(), KUDO_ENFORCE);
    report.section("ns per packet above an empty program, in mode enforce");
    const std::string here = "10.77.0.2";
    struct Kind {
        const char* name;
        const char* remote;
        uint16_t remote_port, local_port;
        bool tcp;
    };
    const Kind kinds[] = {{"a stranger, dropped", "198.51.100.7", 4500, 40000, false},
                          {"a stranger with the port of a rule, dropped", "198.51.100.7", 53, 40000, false},
                          {"media", "3.123.12.129", 3478, 40000, false},
                          {"fallback", "3.123.12.129", 443, 40001, true},
                          {"an answer to this host, by a rule", "192.0.2.53", 53, 40002, false},
                          {"a session to this host, by a rule", "203.0.113.9", 50000, 22, true}};
    const auto frame = [&](const Kind& kind, bool egress) {
        Packet packet =
            Ethernet{} / IPv4{.source = egress ? here : kind.remote, .destination = egress ? kind.remote : here};
        const uint16_t from = egress ? kind.local_port : kind.remote_port,
                       to = egress ? kind.remote_port : kind.local_port;
        packet = kind.tcp ? packet / Tcp{.source_port = from, .destination_port = to}
                          : packet / Udp{.source_port = from, .destination_port = to};
        return (packet / Payload(172)).bytes();
    };
    const int empty = stage.bench_program("empty"), empty_tc = stage.bench_program("empty_tc");
    const int xdp = stage.program(Program::Xdp), ingress = stage.program(Program::TcIngress),
              egress = stage.program(Program::TcEgress);
    for (const Kind& kind : kinds)
        report.line(std::string("tc egress: ") + kind.name, "ns",
                    compare(egress, empty_tc, frame(kind, true), options));
    for (const Kind& kind : kinds)
        report.line(std::string("XDP: ") + kind.name, "ns", compare(xdp, empty, frame(kind, false), options));
    for (const Kind& kind : kinds)
        report.line(std::string("tc ingress: ") + kind.name, "ns",
                    compare(ingress, empty_tc, frame(kind, false), options));
}

} // namespace kudo::bench
