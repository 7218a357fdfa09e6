// SPDX-License-Identifier: MIT
// What tracing adds to a packet that the kernel drops: a test run of an empty program frees its packet as dropped.
#include <bpf/bpf.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "agent/drops/tracing.h"
#include "tests/bench/sections.h"
#include "tests/support/foreign_program.h"
#include "tests/support/packet_builder.h"

namespace kudo::bench {

using namespace test;

namespace {

struct DropKind {
    std::string name, source;
    bool elsewhere = false; // in another network namespace
    double goal = 0;
};

// ns for one packet, of the fastest of many short runs: one that nothing else on the machine interrupted.
double drop_many(int program, const Bytes& frame, unsigned runs) {
    constexpr unsigned packets = 100;
    double least = 1e9;
    for (unsigned run = 0; run < runs; run++)
        least = std::min(least, time_of([&] {
                             for (unsigned i = 0; i < packets; i++) {
                                 LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                                             .data_size_in = static_cast<__u32>(frame.size()), .repeat = 1);
                                 if (bpf_prog_test_run_opts(program, &options) != 0)
                                     throw std::runtime_error("a test run failed");
                             }
                         }));
    return least / packets;
}

} // namespace

void measure_drops(const TestHost& host, Report& report) {
    const unsigned runs = 1000; // a busy machine takes the processor away for tens of milliseconds
    report.section("a dropped packet: what tracing adds");
    if (const Outcome enabled = host.agent({"enable", "--region", "ca"}); enabled.status != 0)
        throw std::runtime_error(enabled.err + enabled.out);
    const Fd empty = foreign_program(BPF_PROG_TYPE_SCHED_CLS, tcx_next);
    for (const DropKind& kind : {DropKind{"of a known flow", "3.123.12.129", false, 1000},
                                 DropKind{"of a stranger", "198.51.100.7", false, 50},
                                 DropKind{"of another network namespace", "3.123.12.129", true, 50}}) {
        const Bytes frame = (Ethernet{} / IPv4{.source = kind.source, .destination = "10.77.0.2"} /
                             Udp{.source_port = 3478, .destination_port = 40000} / Payload(172))
                                .bytes();
        std::vector<double> added;
        for (int round = 0; round < report.options().rounds(); round++) {
            const auto measure = [&] {
                return inside<double>(kind.elsewhere ? host.far : host.host,
                                      [&] { return drop_many(empty.get(), frame, runs); });
            };
            // In the host, whose data path it is.
            const auto trace = [&](bool on) {
                inside<int>(host.host, [&] {
                    auto data_path = DataPath::open(host.instance);
                    if (!data_path) throw std::runtime_error(data_path.error().message);
                    const auto done = on ? ensure_tracing(*data_path) : remove_tracing(data_path->folder());
                    if (!done) throw std::runtime_error(done.error().message);
                    return 0;
                });
            };
            trace(false);
            const double without = measure();
            trace(true);
            added.push_back(measure() - without);
        }
        report.line(kind.name, "ns", spread_of(added), kind.goal, 10 * kind.goal);
    }
    if (const Outcome disabled = host.agent({"disable"}); disabled.status != 0) throw std::runtime_error(disabled.err);
}

} // namespace kudo::bench
