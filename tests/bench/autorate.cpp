// SPDX-License-Identifier: MIT
// Media and bulk on an uplink whose rate steps 20 -> 5 -> 20 Mbit/s behind a deep FIFO: without the agent, with a fixed
// rate of 20 Mbit/s, and with one that follows the line.
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "tests/bench/contention_bulk.h"
#include "tests/bench/contention_line.h"
#include "tests/bench/contention_media.h"
#include "tests/bench/sections.h"
#include "tests/support/running_service.h"

namespace kudo::bench {

namespace {

constexpr double lines[] = {20, 5, 20}; // Mbit/s
constexpr double settle = 2;            // s after a step that do not count

struct Variant {
    std::string queue, uplink; // empty: without the agent
    [[nodiscard]] bool follows() const { return uplink.starts_with("auto-rate"); }
    [[nodiscard]] std::string name() const {
        return queue.empty() ? "no agent" : fmt::format("{}, {}", queue, follows() ? "auto-rate" : uplink);
    }
};

struct Phase {
    double line = 0, bulk = 0, use = 0; // Mbit/s; bulk and use: shares, in percent
    Delivery audio, media;
};

void sleep_for(double seconds) {
    sleep_until(now_ns() + static_cast<int64_t>(seconds * 1e9));
}

// A frame of bulk carries 1448 bytes of 1514; of media a little less than it has at layer 2.
Phase phase_of(double line, const Window& window, uint64_t bulk_bytes, const MediaFlows& media) {
    Phase phase{.line = line};
    phase.audio = media.delivery(window, [](const RtpStream& stream) { return !stream.video; });
    phase.media = media.delivery(window, [](const RtpStream&) { return true; });
    double media_bytes = 0;
    for (const bool video : {false, true}) {
        const Delivery sent = media.delivery(window, [&](const RtpStream& stream) { return stream.video == video; });
        media_bytes += static_cast<double>(sent.sent) * (video ? 1058 : 218);
    }
    const double bulk = static_cast<double>(bulk_bytes) * 1514 / 1448 * 8e-6 / window.seconds();
    const double others = media_bytes * 8e-6 / window.seconds();
    phase.bulk = 100 * bulk / (line - others);
    phase.use = 100 * (bulk + others) / line;
    return phase;
}

// Nothing: the agent does not have this queue here.
std::optional<std::vector<Phase>> run_variant(const Variant& variant, double seconds) {
    const ContentionLine line(lines[0]);
    std::optional<test::RunningService> service;
    if (!variant.queue.empty()) {
        if (!line.enable({variant.queue, variant.uplink, "off"}).empty()) return std::nullopt;
        if (variant.follows()) service.emplace(line.agents_host(), std::vector<std::string>{});
    }
    MediaFlows media(line, Direction::Uplink, {.packets_per_frame = 2}, 3 * seconds + 20);
    media.start();
    const BulkLoad bulk(line, Direction::Uplink, BulkLoad::Kind::Tcp, "cubic", 0);
    sleep_for(4);
    struct Measured {
        Window window;
        uint64_t bytes = 0;
    };
    std::vector<Measured> measured;
    for (const double mbit : lines) {
        line.set_uplink(mbit);
        sleep_for(settle);
        Measured one{.window = {.begin = now_ns()}};
        const uint64_t before = bulk.received();
        sleep_for(seconds - settle);
        one.bytes = bulk.received() - before;
        one.window.end = now_ns();
        measured.push_back(one);
    }
    media.stop_sending();
    media.wait_for_stragglers();
    std::vector<Phase> phases;
    for (std::size_t i = 0; i < measured.size(); i++)
        phases.push_back(phase_of(lines[i], measured[i].window, measured[i].bytes, media));
    if (!variant.queue.empty()) line.disable();
    return phases;
}

std::vector<Variant> variants_of(const Options& options) {
    const std::string follows = "auto-rate:1mbit-100mbit";
    if (options.quick) return {{"htb", follows}};
    return {{"", ""}, {"htb", "20mbit"}, {"cake", "20mbit"}, {"htb", follows}, {"cake", follows}};
}

} // namespace

void measure_autorate(const test::TestHost& /* its line has no bottleneck */, Report& report) {
    const Options& options = report.options();
    if (!options.quick && options.only.empty()) return; // four minutes
    report.section("an uplink that steps 20 -> 5 -> 20 Mbit/s, 8 TCP flows, from 2 s after each step");
    if (!kernel_has_qdisc("tbf")) {
        fmt::print("  skipped: this kernel has no tbf to make the bottleneck with\n");
        return;
    }
    fmt::print("  {:<22} {:>8} {:>10} {:>10} {:>10} {:>8} {:>8} {:>8}\n", "", "line", "audio p50", "p99 (ms)", "max",
               "lost", "bulk", "line use");
    for (const Variant& variant : variants_of(options)) {
        const auto phases = run_variant(variant, options.quick ? 7 : 12);
        if (!phases) fmt::print("  {:<22} not available\n", variant.name());
        if (!phases) continue;
        for (const Phase& phase : *phases) {
            fmt::print("  {:<22} {:>3} Mbit/s {:>8.1f} {:>10.1f} {:>10.1f} {:>6.2f} % {:>6.1f} % {:>6.1f} %\n",
                       variant.name(), phase.line, phase.audio.delay.p50, phase.audio.delay.p99, phase.audio.delay.max,
                       phase.audio.loss_percent(), phase.bulk, phase.use);
            report.keep({{"queue", variant.name()},
                         {"line_mbit", phase.line},
                         {"audio_p50_ms", phase.audio.delay.p50},
                         {"audio_p99_ms", phase.audio.delay.p99},
                         {"audio_loss_percent", phase.audio.loss_percent()},
                         {"bulk_percent", phase.bulk},
                         {"line_use_percent", phase.use}});
            if (!variant.follows()) continue;
            // Wide: the machine may be busy. The goal is 30 ms and 85 %.
            report.require(phase.audio.delay.p99 <= 120,
                           fmt::format("{}: the check allows a p99 of 120 ms for audio", variant.name()));
            report.require(phase.use >= 60, fmt::format("{}: the check asks 60 % of the line", variant.name()));
        }
    }
    fmt::print("  bulk: with its headers, of what media leaves of the line. The modem's FIFO holds 1.25 MB.\n");
}

} // namespace kudo::bench
