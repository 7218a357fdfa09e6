// SPDX-License-Identifier: MIT
#include "tests/bench/contention_duplex.h"

#include <cstdio>
#include <optional>

#include <fmt/format.h>

namespace kudo::bench {

namespace {

constexpr const char* line_format = "  {:<26} {:>15} {:>15} {:>15}  {:>6} {:>6} {:>6}  {:>6} {:>6}  {:>13} {:>13}\n";

struct DuplexRow {
    ContentionResult up, down, both; // which directions bulk fills
    // What a direction keeps of what it has alone, %.
    [[nodiscard]] double up_kept() const { return kept(both.up_mbit, up.up_mbit); }
    [[nodiscard]] double down_kept() const { return kept(both.down_mbit, down.down_mbit); }
    static double kept(double now, double alone) { return alone == 0 ? 0 : 100 * now / alone; }
};

std::string delay(const ContentionResult& result) {
    return fmt::format("{:.1f} / {:.1f}", result.media.delay.p50, result.media.delay.p99);
}

std::string loss(const ContentionResult& result) {
    return fmt::format("{:.2f}", result.media.loss_percent());
}

std::string beside(double now, double kept) {
    return fmt::format("{:.1f} {:>5.0f} %", now, kept);
}

std::string name_of(const ContentionResult& result) {
    const ContentionSettings& settings = result.settings;
    return fmt::format("{}, {:g} ms, {}", settings.congestion_control, settings.rtt,
                       result.of.queue.empty() ? "no agent" : result.of.queue);
}

void print_header() {
    fmt::print(line_format, "bulk out, in, both ways:", "media's RTT, ms", "p50 / p99", "", "lost %", "", "", "alone,",
               "Mbit/s", "both ways,", "of alone");
    fmt::print(line_format, "TCP, idle RTT, queue", "out", "in", "both", "out", "in", "both", "out", "in", "out", "in");
}

void print(const DuplexRow& row) {
    fmt::print(line_format, name_of(row.both), delay(row.up), delay(row.down), delay(row.both), loss(row.up),
               loss(row.down), loss(row.both), fmt::format("{:.1f}", row.up.up_mbit),
               fmt::format("{:.1f}", row.down.down_mbit), beside(row.both.up_mbit, row.up_kept()),
               beside(row.both.down_mbit, row.down_kept()));
    std::fflush(stdout);
}

nlohmann::ordered_json json_of(const ContentionResult& result) {
    const Quantiles& delay = result.media.delay;
    return {{"media_rtt_ms", {{"p50", delay.p50}, {"p99", delay.p99}, {"max", delay.max}}},
            {"media_loss_percent", result.media.loss_percent()},
            {"audio_loss_percent", result.audio.loss_percent()},
            {"sender_late_p99_ms", result.sender_late.p99},
            {"bulk_out_mbit", result.up_mbit},
            {"bulk_in_mbit", result.down_mbit}};
}

nlohmann::ordered_json json_of(const DuplexRow& row) {
    const ContentionSettings& settings = row.both.settings;
    return {{"name", "duplex, " + name_of(row.both)},
            {"tcp", settings.congestion_control},
            {"idle_rtt_ms", settings.rtt},
            {"queue", row.both.of.queue.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(row.both.of.queue)},
            {"line_mbit", settings.line},
            {"agent_uplink", settings.uplink},
            {"agent_downlink", settings.downlink},
            {"out", json_of(row.up)},
            {"in", json_of(row.down)},
            {"both", json_of(row.both)},
            {"out_percent_of_alone", row.up_kept()},
            {"in_percent_of_alone", row.down_kept()}};
}

// Nothing where the agent refuses the queue.
std::optional<DuplexRow> measure(const ContentionSettings& settings, const std::string& queue) {
    const auto run = [&](Direction direction) {
        return run_case({.direction = direction, .load = Load::Tcp, .queue = queue, .round_trip = true}, settings);
    };
    DuplexRow row{.up = run(Direction::Uplink)};
    if (!row.up.refused.empty()) return std::nullopt;
    row.down = run(Direction::Downlink);
    row.both = run(Direction::Both);
    return row;
}

void measure_queues(const ContentionSettings& settings, const std::vector<std::string>& queues, Report& report) {
    for (const std::string& queue : queues) {
        const auto row = measure(settings, queue);
        if (!row) {
            fmt::print("  {}, {:g} ms, {}: skipped: not on this kernel\n", settings.congestion_control, settings.rtt,
                       queue);
            continue;
        }
        print(*row);
        report.keep(json_of(*row));
    }
}

} // namespace

void measure_duplex(ContentionSettings settings, const DuplexLists& lists, Report& report) {
    report.section(fmt::format("media's round trips on a line of {:g} Mbit/s full both ways, agent: {} out, {} in",
                               settings.line, settings.uplink, settings.downlink));
    print_header();
    std::vector<std::string> queues = {""};
    queues.insert(queues.end(), lists.queues.begin(), lists.queues.end());
    for (const std::string& round_trip : lists.round_trips) {
        settings.rtt = std::stod(round_trip);
        const auto idle = run_case({.load = Load::Idle, .round_trip = true}, settings);
        fmt::print("  {:<26} {:>15}\n", fmt::format("idle, {} ms", round_trip), delay(idle));
        for (const std::string& control : lists.congestion_controls) {
            settings.congestion_control = control;
            measure_queues(settings, queues, report);
        }
    }
    fmt::print("  idle RTT 0: what the machine takes. lost %: of media's round trips. Goal: both ways, bulk keeps 85 % "
               "of what it has alone.\n");
}

} // namespace kudo::bench
