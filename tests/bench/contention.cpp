// SPDX-License-Identifier: MIT
// Media on a full line: loss, delay and what is left to the rest, without the agent and with each of its queues.
#include <algorithm>

#include <fmt/format.h>

#include "tests/bench/contention_case.h"
#include "tests/bench/contention_duplex.h"
#include "tests/bench/contention_table.h"
#include "tests/bench/sections.h"

namespace kudo::bench {

namespace {

std::vector<ContentionCase> cases_of(const Options& options) {
    if (options.quick)
        return {{Direction::Uplink, Load::Idle}, {Direction::Uplink, Load::Tcp}, {Direction::Uplink, Load::Tcp, "htb"}};
    std::vector<ContentionCase> result;
    for (const Direction direction : {Direction::Uplink, Direction::Downlink}) {
        result.push_back({direction, Load::Idle});
        for (const Load load : {Load::Tcp, Load::Flood, Load::Overload}) {
            result.push_back({direction, load});
            for (const std::string& queue : split(options.queues))
                result.push_back({direction, load, queue});
        }
    }
    return result;
}

// Wide: the machine may be busy with other things. How late the sender was tells how late its timers and threads are.
void check(Report& report, const ContentionRow& row) {
    const ContentionResult& result = row.result;
    if (result.of.load != Load::Tcp || result.of.direction != Direction::Uplink || result.of.queue != "htb") return;
    if (!result.refused.empty()) return report.require(!kernel_has_qdisc("htb"), result.refused);
    const double delay = 2 * row.idle_p99 + 5 + 2 * result.sender_late.p99;
    report.require(result.media.loss_percent() <= 0.5, "the check allows 0.5 % of media lost");
    report.require(result.media.delay.p99 <= delay, fmt::format("the check allows a p99 delay of {:.1f} ms", delay));
    report.require(row.of_without() >= 70, "the check asks 70 % of the bulk traffic without the agent");
}

void measure_one_way(const ContentionSettings& settings, Report& report) {
    print_header();
    double idle_late = 0, idle_p99 = 0, without = 0;
    for (const ContentionCase& which : cases_of(report.options())) {
        const ContentionResult result = run_case(which, settings);
        if (which.load == Load::Idle) {
            idle_late = result.sender_late.p99;
            idle_p99 = result.media.delay.p99;
        }
        if (which.queue.empty()) without = result.bulk_mbit(); // of this load: its cases follow
        const ContentionRow row{result, idle_late, idle_p99, without};
        print_row(row);
        report.keep(json_of(row));
        check(report, row);
    }
    print_legend();
}

} // namespace

void measure_contention(const test::TestHost& /* its line has no bottleneck */, Report& report) {
    const Options& options = report.options();
    report.section(fmt::format("media on a full line of {} Mbit/s, its bottleneck in the modem", options.line));
    if (!kernel_has_qdisc("tbf")) {
        fmt::print("  skipped: this kernel has no tbf to make the bottleneck with\n");
        return;
    }
    // Downlink: TCP slows down only once some of it is dropped here, so the queue in the modem needs room to run empty.
    const auto rate = [&](const std::string& given, double share) {
        return given.empty() ? fmt::format("{:.0f}kbit", options.line * 1000 * share) : given;
    };
    ContentionSettings settings{.line = options.line,
                                .uplink = rate(options.uplink, 0.99),
                                .downlink = rate(options.downlink, 0.95),
                                .congestion_control = split(options.congestion_controls).front()};
    settings.measured = options.seconds;
    if (options.quick) settings.warm_up = 1, settings.measured = 3;
    if (options.ways != "both") measure_one_way(settings, report);
    if (options.ways == "one" || options.only != "contention") return; // many minutes
    settings.warm_up = settings.measured; // BBR looks for the shortest round trip every 10 s
    measure_duplex(settings,
                   {.congestion_controls = split(options.congestion_controls),
                    .round_trips = split(options.round_trips),
                    .queues = split(options.queues)},
                   report);
}

} // namespace kudo::bench
