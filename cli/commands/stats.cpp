// SPDX-License-Identifier: MIT
#include "cli/commands/stats.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "cli/arguments/duration.h"
#include "cli/arguments/options.h"
#include "cli/views/stats_json.h"
#include "cli/views/stats_text.h"
#include "cli/views/stats_view.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

struct StatsOptions {
    bool flows = false, drops = false;
    std::optional<double> watch; // seconds
    std::optional<std::chrono::seconds> since;
};

Result<double> parse_seconds(const std::string& text) {
    constexpr double shortest = 0.1, longest = 86400;
    double seconds = 2;
    if (text.empty() || text == "true") return seconds; // without a value
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), seconds, std::chars_format::fixed);
    if (error != std::errc{} || end != text.data() + text.size() || !(seconds >= shortest && seconds <= longest))
        return bad_input(fmt::format("{} is not an interval; expected 0.1 to 86400 seconds", quoted_text(text)));
    return seconds;
}

Result<void> show(const Diagnosis& diagnosis, const StatsView& view, bool json, bool one_line) {
    if (json) return write_stats_json(diagnosis, view, one_line, print);
    return print(stats_text(diagnosis, view));
}

// Of which flow each process is only tables of flows and JSON tell.
DiagnosisScope scope_of(const StatsOptions& options, const GlobalOptions& global) {
    return {.processes = options.flows || global.json, .since = options.since};
}

Result<int> watch(const StatsOptions& options, const GlobalOptions& global) {
    using Clock = std::chrono::steady_clock;
    constexpr std::size_t rows_of_a_screen = 20;
    sigset_t signals; // from here on they end a wait and not the program
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    // True if one of them has come.
    const auto wait_until = [&](Clock::time_point until) {
        const auto left = std::max(until - Clock::now(), Clock::duration::zero());
        const auto whole = std::chrono::floor<std::chrono::seconds>(left);
        const timespec timeout{.tv_sec = whole.count(), .tv_nsec = std::chrono::nanoseconds(left - whole).count()};
        return sigtimedwait(&signals, nullptr, &timeout) > 0;
    };
    const bool screen = !global.json && is_screen();
    const auto interval = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(*options.watch));
    std::optional<Statistics> before;
    Clock::time_point read_before;
    auto next = Clock::now();
    do {
        const auto read_now = Clock::now();
        auto diagnosis = KUDO_TRY(diagnose(global.instance, scope_of(options, global)));
        std::optional<Growth> grown;
        if (before)
            grown =
                growth(*before, diagnosis.statistics, std::chrono::duration<double>(read_now - read_before).count());
        const StatsView view{.flows = options.flows,
                             .drops = options.drops,
                             .width = output_width(),
                             .growth = grown ? &*grown : nullptr,
                             .flow_limit = rows_of_a_screen,
                             .colour = colour_wanted()};
        if (screen) KUDO_TRY(print("\x1b[H\x1b[2J"));
        if (!screen && !global.json && before) KUDO_TRY(print("\n"));
        KUDO_TRY(show(diagnosis, view, global.json, true));
        before = std::move(diagnosis.statistics);
        read_before = read_now;
        next = std::max(next + interval, Clock::now()); // reading may take longer than the interval
    } while (!wait_until(next));
    return exit_done;
}

Result<int> stats(const StatsOptions& options, const GlobalOptions& global) {
    if (options.watch) return watch(options, global);
    const StatsView view{
        .flows = options.flows, .drops = options.drops, .width = output_width(), .colour = colour_wanted()};
    const auto diagnosis = KUDO_TRY(diagnose(global.instance, scope_of(options, global)));
    KUDO_TRY(show(diagnosis, view, global.json, false));
    return exit_done;
}

} // namespace

Run setup_stats(CLI::App& app) {
    const auto options = std::make_shared<StatsOptions>();
    app.add_flag("--flows", options->flows, "List every KUDO flow, busiest first (JSON always has them)");
    app.add_flag("--drops", options->drops, "List every cause of dropped packets with its flow (JSON always has them)");
    add_option(
        app, "--since", options->since, [](const std::string& text) { return parse_duration(text); },
        "Only what was counted in the last T, such as 10m; needs the service, kudo-agent run")
        ->type_name("T");
    add_option(app, "--watch", options->watch, parse_seconds, "Repeat every SECONDS (2), with rates, until Ctrl-C")
        ->type_name("[SECONDS]")
        ->expected(0, 1);
    app.footer(
        "First where packets are lost: before this host, in it, by kudo-agent's policy, at an application, or not "
        "to be known. Packets and bytes are as on the wire, bytes of layer 3; those of queues of layer 2.");
    return [options](const GlobalOptions& global) { return stats(*options, global); };
}

} // namespace kudo
