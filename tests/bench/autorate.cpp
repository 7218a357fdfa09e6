// SPDX-License-Identifier: MIT
// Media and bulk on a line whose rate steps 20 -> 5 -> 20 Mbit/s behind a deep FIFO, out, in or both: without the
// agent, with a fixed rate, and with one that follows the line.
#include <algorithm>
#include <deque>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tests/bench/contention_bulk.h"
#include "tests/bench/contention_line.h"
#include "tests/bench/contention_media.h"
#include "tests/bench/sections.h"
#include "tests/support/running_service.h"

namespace kudo::bench {

namespace {

constexpr double lines[] = {20, 5, 20}; // Mbit/s
constexpr double settle = 2;            // s after a step that do not count
constexpr const char* follows = "auto-rate:1mbit-100mbit";

struct Variant {
    Direction direction = Direction::Uplink;
    std::string queue, rate; // empty: without the agent
    double rtt = 0;          // ms
    [[nodiscard]] std::string name() const {
        const std::string agent = queue.empty() ? "no agent" : fmt::format("{}, {}", queue, short_rate());
        return rtt > 0 ? fmt::format("{}, RTT {} ms", agent, rtt) : agent;
    }
    [[nodiscard]] std::string short_rate() const { return rate == follows ? "auto-rate" : rate; }
    [[nodiscard]] std::vector<Direction> ways() const {
        if (direction == Direction::Both) return {Direction::Uplink, Direction::Downlink};
        return {direction};
    }
    [[nodiscard]] AgentQueue agents() const {
        return {queue, direction == Direction::Downlink ? "off" : rate, direction == Direction::Uplink ? "off" : rate};
    }
};

struct Phase {
    double line = 0;
    std::vector<double> bulk{}; // by way: of what media leaves of the line, in percent
    Delivery audio, media;
};

void sleep_for(double seconds) {
    sleep_until(now_ns() + static_cast<int64_t>(seconds * 1e9));
}

// A frame of bulk carries 1448 bytes of 1514; of media a little less than it has at layer 2.
Phase phase_of(double line, const Window& window, const std::vector<uint64_t>& bulk_bytes, const MediaFlows& media) {
    Phase phase{.line = line};
    phase.audio = media.delivery(window, [](const RtpStream& stream) { return !stream.video; });
    phase.media = media.delivery(window, [](const RtpStream&) { return true; });
    double media_bytes = 0;
    for (const bool video : {false, true}) {
        const Delivery sent = media.delivery(window, [&](const RtpStream& stream) { return stream.video == video; });
        media_bytes += static_cast<double>(sent.sent) * (video ? 1058 : 218);
    }
    const double others = media_bytes * 8e-6 / window.seconds() / static_cast<double>(bulk_bytes.size()); // each way
    for (const uint64_t bytes : bulk_bytes) {
        const double bulk = static_cast<double>(bytes) * 1514 / 1448 * 8e-6 / window.seconds();
        phase.bulk.push_back(100 * bulk / (line - others));
    }
    return phase;
}

// Nothing: the agent does not have this queue here.
std::optional<std::vector<Phase>> run_variant(const Variant& variant, const std::string& tcp, double seconds) {
    const ContentionLine line(lines[0], variant.rtt);
    std::optional<test::RunningService> service;
    if (!variant.queue.empty()) {
        if (!line.enable(variant.agents()).empty()) return std::nullopt;
        if (variant.rate == follows) service.emplace(line.agents_host(), std::vector<std::string>{});
    }
    MediaFlows media(line, variant.direction, {.conversation = true, .packets_per_frame = 2}, 3 * seconds + 20);
    media.start();
    std::deque<BulkLoad> loads;
    for (const Direction way : variant.ways())
        loads.emplace_back(line, way, BulkLoad::Kind::Tcp, tcp, 0);
    const auto received = [&] {
        std::vector<uint64_t> bytes;
        for (const BulkLoad& load : loads)
            bytes.push_back(load.received());
        return bytes;
    };
    sleep_for(4);
    struct Measured {
        Window window;
        std::vector<uint64_t> bytes{};
    };
    std::vector<Measured> measured;
    for (const double mbit : lines) {
        line.set_rate(variant.direction, mbit);
        sleep_for(settle);
        Measured one{.window = {.begin = now_ns()}};
        const auto before = received();
        sleep_for(seconds - settle);
        one.bytes = received();
        for (std::size_t way = 0; way < before.size(); way++)
            one.bytes[way] -= before[way];
        one.window.end = now_ns();
        measured.push_back(std::move(one));
    }
    media.stop_sending();
    media.wait_for_stragglers();
    std::vector<Phase> phases;
    for (std::size_t i = 0; i < measured.size(); i++)
        phases.push_back(phase_of(lines[i], measured[i].window, measured[i].bytes, media));
    if (!variant.queue.empty()) line.disable();
    return phases;
}

struct Section {
    const char* title;
    std::vector<Variant> variants;
};

std::string_view way_of(Direction direction) {
    return direction == Direction::Uplink ? "out" : direction == Direction::Downlink ? "in" : "both";
}

// --uplink, --downlink: that side with that rate, alone.
bool is_asked_for(const Variant& variant, const Options& options) {
    const auto queues = split(options.queues);
    if (!variant.queue.empty() && std::ranges::find(queues, variant.queue) == queues.end()) return false;
    if (options.uplink.empty() && options.downlink.empty()) return true;
    const std::string& rate = variant.direction == Direction::Uplink ? options.uplink : options.downlink;
    return variant.direction != Direction::Both && !rate.empty() && variant.short_rate() == rate;
}

std::vector<Section> sections_of(const Options& options) {
    using enum Direction;
    if (options.quick) return {{"an uplink", {{Uplink, "htb", follows}}}};
    std::vector<Section> all{{"an uplink",
                              {{Uplink, "", ""},
                               {Uplink, "htb", "20mbit"},
                               {Uplink, "cake", "20mbit"},
                               {Uplink, "htb", follows},
                               {Uplink, "cake", follows},
                               {Uplink, "htb", follows, 40}}},
                             {"a downlink",
                              {{Downlink, "", ""},
                               {Downlink, "htb", "18mbit"},
                               {Downlink, "htb", follows},
                               {Downlink, "cake", follows},
                               {Downlink, "htb", follows, 40}}},
                             {"both ways", {{Both, "", ""}, {Both, "htb", follows}, {Both, "htb", follows, 40}}}};
    for (Section& section : all)
        std::erase_if(section.variants, [&](const Variant& variant) { return !is_asked_for(variant, options); });
    std::erase_if(all, [](const Section& section) { return section.variants.empty(); });
    return all;
}

// The first: the table has one.
std::string congestion_control_of(const Options& options) {
    return split(options.congestion_controls).front();
}

void print_phase(const Variant& variant, const Phase& phase, Report& report) {
    fmt::print("  {:<24} {:>3} Mbit/s {:>8.1f} {:>10.1f} {:>10.1f} {:>6.2f} % {:>6.1f} %\n", variant.name(), phase.line,
               phase.audio.delay.p50, phase.audio.delay.p99, phase.audio.delay.max, phase.audio.loss_percent(),
               fmt::join(phase.bulk, " %, "));
    report.keep({{"queue", variant.name()},
                 {"direction", way_of(variant.direction)},
                 {"tcp", congestion_control_of(report.options())},
                 {"line_mbit", phase.line},
                 {"audio_p50_ms", phase.audio.delay.p50},
                 {"audio_p99_ms", phase.audio.delay.p99},
                 {"audio_loss_percent", phase.audio.loss_percent()},
                 {"bulk_percent", phase.bulk}});
    if (variant.rate != follows) return;
    // Wide: the machine may be busy. The goal is 30 ms and 85 %.
    report.require(phase.audio.delay.p99 <= 120 + variant.rtt,
                   fmt::format("{}: the check allows a p99 of 120 ms for audio", variant.name()));
    for (const double bulk : phase.bulk)
        report.require(bulk >= 50, fmt::format("{}: the check asks half of the line for bulk", variant.name()));
}

} // namespace

void measure_autorate(const test::TestHost& /* its line has no bottleneck */, Report& report) {
    const Options& options = report.options();
    if (!options.quick && options.only.empty()) return; // ten minutes
    if (!kernel_has_qdisc("tbf")) {
        fmt::print("  skipped: this kernel has no tbf to make the bottleneck with\n");
        return;
    }
    const std::string tcp = congestion_control_of(options);
    bool any = false;
    for (const Section& section : sections_of(options)) {
        report.section(fmt::format("{} that steps 20 -> 5 -> 20 Mbit/s, 8 TCP flows ({}), from 2 s after each step",
                                   section.title, tcp));
        fmt::print("  {:<24} {:>8} {:>10} {:>10} {:>10} {:>8} {:>8}\n", "", "line", "audio p50", "p99 (ms)", "max",
                   "lost", "bulk");
        for (const Variant& variant : section.variants) {
            const auto phases = run_variant(variant, tcp, options.quick ? 7 : 12);
            if (!phases) fmt::print("  {:<24} not available\n", variant.name());
            if (!phases) continue;
            any = true;
            for (const Phase& phase : *phases)
                print_phase(variant, phase, report);
        }
    }
    report.require(any || options.quick,
                   "autorate: nothing was measured: no such queue, or no line of the table has that rate");
    fmt::print("  bulk: with its headers, of what media leaves of the line. The modem's FIFO holds 1.25 MB.\n");
}

} // namespace kudo::bench
