// SPDX-License-Identifier: MIT
#include "cli/commands/stats.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <unistd.h>

#include "cli/arguments/options.h"
#include "cli/views/stats_json.h"
#include "cli/views/stats_text.h"
#include "cli/views/stats_view.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

struct StatsOptions {
    bool flows = false;
    std::optional<double> watch; // seconds
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

Result<void> show(const Statistics& statistics, const StatsView& view, bool json, bool one_line) {
    if (json) return write_stats_json(statistics, view, one_line, print);
    return print(stats_text(statistics, view));
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
    const bool screen = !global.json && ::isatty(STDOUT_FILENO) == 1;
    const auto interval = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(*options.watch));
    std::optional<Statistics> before;
    Clock::time_point read_before;
    auto next = Clock::now();
    do {
        const auto read_now = Clock::now();
        auto statistics = KUDO_TRY(read_statistics(global.instance));
        std::optional<Growth> grown;
        if (before) grown = growth(*before, statistics, std::chrono::duration<double>(read_now - read_before).count());
        const StatsView view{.flows = options.flows,
                             .growth = grown ? &*grown : nullptr,
                             .flow_limit = rows_of_a_screen,
                             .colour = colour_wanted()};
        if (screen) KUDO_TRY(print("\x1b[H\x1b[2J"));
        if (!screen && !global.json && before) KUDO_TRY(print("\n"));
        KUDO_TRY(show(statistics, view, global.json, true));
        before = std::move(statistics);
        read_before = read_now;
        next = std::max(next + interval, Clock::now()); // reading may take longer than the interval
    } while (!wait_until(next));
    return exit_done;
}

Result<int> stats(const StatsOptions& options, const GlobalOptions& global) {
    if (options.watch) return watch(options, global);
    const auto statistics = KUDO_TRY(read_statistics(global.instance));
    KUDO_TRY(show(statistics, {.flows = options.flows, .colour = colour_wanted()}, global.json, false));
    return exit_done;
}

} // namespace

Run setup_stats(CLI::App& app) {
    const auto options = std::make_shared<StatsOptions>();
    app.add_flag("--flows", options->flows, "List every KUDO flow, busiest first (JSON always has them)");
    add_option(app, "--watch", options->watch, parse_seconds, "Repeat every SECONDS (2), with rates, until Ctrl-C")
        ->type_name("[SECONDS]")
        ->expected(0, 1);
    app.footer("Packets and bytes are as on the wire, bytes of layer 3. In JSON, \"drops\" stays empty while "
               "\"drops_measured\" is false.");
    return [options](const GlobalOptions& global) { return stats(*options, global); };
}

} // namespace kudo
