// SPDX-License-Identifier: MIT
#include "tests/bench/contention_case.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "tests/bench/contention_bulk.h"
#include "tests/bench/contention_media.h"

namespace kudo::bench {

namespace {

// 11 packets a frame are 2.4 Mbit/s of a bundle, 87 kbit/s of them audio: ten are 24 Mbit/s.
// Of 20 Mbit/s one bundle takes a tenth, and ten of them with more video are more than it carries.
MediaShape shape_of(Load load, double line) {
    const auto packets = [line](double of_twenty) {
        return static_cast<unsigned>(std::max(2.0, std::ceil(of_twenty * line / 20)));
    };
    return load == Load::Overload ? MediaShape{.flows = 10, .packets_per_frame = packets(11)}
                                  : MediaShape{.packets_per_frame = packets(8)};
}

BulkLoad::Kind bulk_of(Load load) {
    switch (load) {
    case Load::Idle:
        return BulkLoad::Kind::None;
    case Load::Flood:
        return BulkLoad::Kind::Flood;
    case Load::Tcp:
    case Load::Overload:
        break;
    }
    return BulkLoad::Kind::Tcp;
}

int64_t nanoseconds(double seconds) {
    return static_cast<int64_t>(seconds * 1e9);
}

} // namespace

std::string ContentionCase::name() const {
    const char* const loads[] = {"idle line", "8 TCP flows", "flood", "overload"};
    const char* const directions[] = {"uplink", "downlink", "both"};
    return fmt::format("{}, {}, {}", directions[static_cast<int>(direction)], loads[static_cast<int>(load)],
                       queue.empty() ? "no agent" : queue);
}

ContentionResult run_case(const ContentionCase& which, const ContentionSettings& settings) {
    ContentionResult result{.of = which, .settings = settings};
    const ContentionLine line(settings.line, settings.rtt);
    if (!which.queue.empty()) result.refused = line.enable({which.queue, settings.uplink, settings.downlink});
    if (!result.refused.empty()) return result;

    MediaFlows media(line, which.round_trip ? Direction::Both : which.direction, shape_of(which.load, settings.line),
                     settings.warm_up + settings.measured + 5);
    const auto bulk = [&](Direction direction) {
        const bool loaded = which.direction == direction || which.direction == Direction::Both;
        return BulkLoad(line, direction, loaded ? bulk_of(which.load) : BulkLoad::Kind::None,
                        settings.congestion_control, 2 * settings.line);
    };
    const BulkLoad up = bulk(Direction::Uplink), down = bulk(Direction::Downlink);
    media.start();
    sleep_until(now_ns() + nanoseconds(settings.warm_up));
    Window window{.begin = now_ns()};
    const uint64_t up_before = up.received(), down_before = down.received();
    sleep_until(window.begin + nanoseconds(settings.measured));
    const uint64_t up_bytes = up.received() - up_before, down_bytes = down.received() - down_before;
    window.end = now_ns();
    media.stop_sending();
    media.wait_for_stragglers(); // with the line still full: they wait as long as the others did

    result.media = media.delivery(window, [](const RtpStream&) { return true; });
    result.audio = media.delivery(window, [](const RtpStream& stream) { return !stream.video; });
    result.video = media.delivery(window, [](const RtpStream& stream) { return stream.video; });
    for (const RtpStream& stream : media.streams())
        result.ssrcs.push_back({stream.ssrc, stream.video, media.delivery(window, [&](const RtpStream& other) {
                                    return other.ssrc == stream.ssrc;
                                })});
    result.sender_late = media.lateness(window);
    result.up_mbit = static_cast<double>(up_bytes) * 8e-6 / window.seconds();
    result.down_mbit = static_cast<double>(down_bytes) * 8e-6 / window.seconds();
    if (!which.queue.empty()) line.disable();
    return result;
}

} // namespace kudo::bench
