// SPDX-License-Identifier: MIT
#include "tests/bench/contention_table.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace kudo::bench {

namespace {

constexpr const char* header = "  {:<34} {:>6} {:>6} {:>6}  {:>15} {:>15} {:>6} {:>6} {:>6} {:>7} {:>6}  {}\n";

std::string number(double value) {
    return fmt::format("{:.2f}", value);
}

std::string pair(const Delivery& delivery) {
    return fmt::format("{:.2f} / {:.2f}", delivery.delay.p50, delivery.delay.p99);
}

nlohmann::ordered_json json_of(const Quantiles& times) {
    return {{"p50", times.p50}, {"p99", times.p99}, {"max", times.max}};
}

nlohmann::ordered_json json_of(const Delivery& delivery) {
    return {{"sent", delivery.sent},
            {"received", delivery.received},
            {"lost", delivery.lost},
            {"refused", delivery.refused},
            {"loss_percent", delivery.loss_percent()},
            {"delay_ms", json_of(delivery.delay)}};
}

} // namespace

double ContentionRow::of_without() const {
    return bulk_without == 0 ? 0 : 100 * result.bulk_mbit() / bulk_without;
}

double ContentionRow::of_line() const {
    return 100 * result.bulk_mbit() / result.settings.line;
}

bool ContentionRow::noisy() const {
    return std::max(idle_late, result.sender_late.p99) > 1;
}

bool ContentionRow::has_goals() const {
    // What does not slow down fills the line before it comes to the host: no queue of the host's can help.
    const Load load = result.of.load;
    const bool hopeless = result.of.direction == Direction::Downlink && (load == Load::Flood || load == Load::Overload);
    return !result.of.queue.empty() && result.refused.empty() && !hopeless;
}

std::vector<std::string> ContentionRow::missed() const {
    std::vector<std::string> names;
    const auto want = [&](bool good, const char* name) {
        if (!good) names.emplace_back(name);
    };
    if (!has_goals()) return names;
    if (result.of.load == Load::Overload) {
        want(result.audio.lost == 0, "audio loss");
        want(result.video.lost > 0, "video gives way");
        want(of_line() >= 5, "bulk");
    } else {
        want(result.media.lost == 0, "loss");
        want(result.media.delay.p99 <= 2 * idle_p99 + 1, "delay");
        // What a flood keeps is what media leaves.
        want(of_without() >= 97 || result.of.load == Load::Flood, "bulk");
    }
    return names;
}

void print_header() {
    fmt::print(header, "", "loss %", "", "", "audio ms", "video ms", "idle", "sender", "bulk", "of it", "of the", "");
    fmt::print(header, "case", "media", "audio", "video", "p50 / p99", "p50 / p99", "p99", "late", "Mbit/s", "without",
               "line", "goals");
}

void print_row(const ContentionRow& row) {
    const ContentionResult& result = row.result;
    if (!result.refused.empty()) {
        fmt::print("  {:<34} not on this kernel: {}\n", result.of.name(), result.refused);
        return;
    }
    const bool bulk = result.of.load != Load::Idle;
    const auto missed = row.missed();
    std::string goals;
    if (row.has_goals()) goals = missed.empty() ? "met" : fmt::format("missed: {}", fmt::join(missed, ", "));
    if (row.noisy()) goals += goals.empty() ? "busy machine" : "; busy machine";
    fmt::print(header, result.of.name(), number(result.media.loss_percent()), number(result.audio.loss_percent()),
               number(result.video.loss_percent()), pair(result.audio), pair(result.video), number(row.idle_p99),
               number(result.sender_late.p99), bulk ? number(result.bulk_mbit()) : "",
               result.of.queue.empty() ? "" : fmt::format("{:.1f} %", row.of_without()),
               bulk ? fmt::format("{:.0f} %", row.of_line()) : "", goals);
    std::fflush(stdout);
}

void print_legend() {
    fmt::print("  goals: no media lost, p99 <= 2 x the idle line's + 1 ms, with TCP bulk >= 97 % of it without the "
               "agent;\n  overload: no audio lost, video gives way, bulk >= 5 % of the line. Downlink, a flood and an "
               "overload fill the line\n  before they come to the host: no queue of the host's can help, so nothing "
               "is asked there. sender late: p99, ms.\n");
}

nlohmann::ordered_json json_of(const ContentionRow& row) {
    const ContentionResult& result = row.result;
    nlohmann::ordered_json json{{"name", result.of.name()},
                                {"direction", result.of.direction == Direction::Uplink ? "uplink" : "downlink"}};
    const char* const loads[] = {"idle", "tcp", "flood", "overload"};
    json["load"] = loads[static_cast<int>(result.of.load)];
    json["queue"] = result.of.queue.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(result.of.queue);
    if (!result.refused.empty()) {
        json["refused"] = result.refused;
        return json;
    }
    json["settings"] = {{"agent_uplink", result.settings.uplink},
                        {"agent_downlink", result.settings.downlink},
                        {"line_mbit", result.settings.line},
                        {"tcp", result.settings.congestion_control},
                        {"measured_s", result.settings.measured}};
    json["media"] = json_of(result.media);
    json["audio"] = json_of(result.audio);
    json["video"] = json_of(result.video);
    json["idle_p99_ms"] = row.idle_p99;
    json["sender_late_ms"] = json_of(result.sender_late);
    json["noisy"] = row.noisy();
    json["bulk_mbit"] = result.bulk_mbit();
    json["bulk_percent_of_without"] = row.of_without();
    json["bulk_percent_of_line"] = row.of_line();
    if (row.has_goals()) json["missed"] = row.missed();
    for (const SsrcDelivery& one : result.ssrcs) {
        nlohmann::ordered_json entry{{"ssrc", one.ssrc}, {"kind", one.video ? "video" : "audio"}};
        entry.update(json_of(one.delivery));
        json["ssrcs"].push_back(std::move(entry));
    }
    return json;
}

} // namespace kudo::bench
