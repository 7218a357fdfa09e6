// SPDX-License-Identifier: MIT
// kudo_bench [--short] [--check] [--json FILE] [--only
// packets|enforce|line|bulk|flood|peers|drops|ranges|flows|top|service|commands|contention|autorate]: what the data
// path, the service and the commands cost on this machine, as differences and ratios within one run, and what media
// gains by it on a full line. Exit status 77: BPF or namespaces cannot be had here.
#include <sched.h>

#include <cstring>
#include <exception>
#include <string_view>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "tests/bench/sections.h"

int main(int argc, char** argv) {
    kudo::bench::Options options;
    for (int i = 1; i < argc; i++) {
        const std::string_view word = argv[i];
        if (word == "--short")
            options.quick = true;
        else if (word == "--check")
            options.check = true;
        else if (word == "--json" && i + 1 < argc)
            options.json = argv[++i];
        else if (word == "--only" && i + 1 < argc)
            options.only = argv[++i];
        else if (word == "--queues" && i + 1 < argc)
            options.queues = argv[++i];
        else if (word == "--line" && i + 1 < argc)
            options.line = std::stod(argv[++i]);
        else if (word == "--uplink" && i + 1 < argc)
            options.uplink = argv[++i];
        else if (word == "--downlink" && i + 1 < argc)
            options.downlink = argv[++i];
        else if (word == "--tcp" && i + 1 < argc)
            options.congestion_controls = argv[++i];
        else if (word == "--rtt" && i + 1 < argc)
            options.round_trips = argv[++i];
        else if (word == "--ways" && i + 1 < argc)
            options.ways = argv[++i];
        else if (word == "--seconds" && i + 1 < argc)
            options.seconds = std::stod(argv[++i]);
        else {
            fmt::print(
                stderr,
                "usage: kudo_bench [--short] [--check] [--json FILE] "
                "[--only packets|enforce|line|bulk|flood|peers|drops|ranges|flows|top|service|commands|contention|"
                "autorate]\n"
                "                  [--queues KIND,...] [--line MBIT] [--uplink RATE] [--downlink RATE] "
                "[--tcp CONGESTION_CONTROL,...]\n"
                "                  [--ways one|both] [--rtt MS,...] [--seconds S]\n");
            return 2;
        }
    }
    spdlog::set_level(spdlog::level::warn);
    auto host = kudo::test::TestHost::build();
    if (!host) {
        fmt::print(stderr, "skipped: {}\n", host.error().message);
        return 77;
    }
    if (setns(host->host.fd(), CLONE_NEWNET) != 0) {
        fmt::print(stderr, "setns: {}\n", strerror(errno));
        return 1;
    }
    try {
        kudo::bench::Report report(options);
        const std::pair<std::string_view, void (*)(const kudo::test::TestHost&, kudo::bench::Report&)> parts[] = {
            {"packets", kudo::bench::measure_packets},   {"enforce", kudo::bench::measure_enforce},
            {"bulk", kudo::bench::measure_bulk}, // before `line`, which sets the veth's offloads
            {"flood", kudo::bench::measure_flood},       {"line", kudo::bench::measure_line},
            {"peers", kudo::bench::measure_peers},       {"drops", kudo::bench::measure_drops},
            {"flows", kudo::bench::measure_flows},
#ifdef KUDO_TOP
            {"top", kudo::bench::measure_top},
#endif
            {"service", kudo::bench::measure_service},   {"ranges", kudo::bench::measure_prefixes},
            {"commands", kudo::bench::measure_commands}, {"contention", kudo::bench::measure_contention},
            {"autorate", kudo::bench::measure_autorate},
        };
        for (const auto& [name, measure] : parts)
            // The peers say nothing about what has changed here.
            if (options.only == name ||
                (options.only.empty() && !(options.quick && (name == "peers" || name == "flood"))))
                measure(*host, report);
        return report.finish() ? 0 : 1;
    } catch (const std::exception& error) {
        fmt::print(stderr, "kudo_bench: {}\n", error.what());
        return 1;
    }
}
