// SPDX-License-Identifier: MIT
#include "agent/diagnosis/timeline.h"

#include <map>
#include <string>
#include <utility>

#include "bpf/abi.h"

namespace kudo {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

// How much a counter has grown; nothing where it was not there, but what it shows now where it is new or began again.
uint64_t growth_of(const std::vector<uint64_t>& now, const std::vector<uint64_t>* before, std::size_t at) {
    if (at >= now.size()) return 0;
    if (!before || at >= before->size() || before->at(at) > now[at]) return now[at];
    return now[at] - before->at(at);
}

// What all series with this beginning, and for which `wanted` holds, have gained, by their first values.
struct Gain {
    std::size_t series = 0;
    uint64_t values[4]{};
};
template <typename Wanted>
Gain gain_of(const Series& before, const Series& now, const std::string& beginning, const Wanted& wanted) {
    Gain gain;
    for (auto entry = now.lower_bound(beginning); entry != now.end() && entry->first.starts_with(beginning); ++entry) {
        if (!wanted(entry->first)) continue;
        const auto old = before.find(entry->first);
        ++gain.series;
        for (std::size_t i = 0; i < std::size(gain.values); ++i)
            gain.values[i] += growth_of(entry->second, old == before.end() ? nullptr : &old->second, i);
    }
    return gain;
}

TimelinePoint between(const CounterReading& before, const CounterReading& now) {
    TimelinePoint point{.begin = before.when, .duration = std::chrono::round<milliseconds>(now.when - before.when)};
    const double seconds = std::chrono::duration<double>(now.when - before.when).count();
    const auto all = [](const std::string&) { return true; };
    const Gain traffic = gain_of(before.series, now.series, "service/", all);
    if (traffic.series > 0) {
        point.packets_in = static_cast<double>(traffic.values[0]) / seconds;
        point.bits_in = 8 * static_cast<double>(traffic.values[1]) / seconds;
        point.packets_out = static_cast<double>(traffic.values[2]) / seconds;
        point.bits_out = 8 * static_cast<double>(traffic.values[3]) / seconds;
    }
    const std::string incoming = "/" + std::to_string(static_cast<int>(KUDO_INGRESS));
    const Gain streams = gain_of(before.series, now.series, "stream/",
                                 [&](const std::string& name) { return name.ends_with(incoming); });
    if (streams.values[0] + streams.values[1] > 0) {
        point.received = streams.values[0];
        point.missing = streams.values[1];
    }
    const Gain trips = gain_of(before.series, now.series, "rtt/", all);
    if (trips.values[0] > 0)
        point.rtt_ms = static_cast<double>(trips.values[1]) / 1000 / static_cast<double>(trips.values[0]);
    return point;
}

} // namespace

std::optional<double> TimelinePoint::loss() const {
    const uint64_t expected = received.value_or(0) + missing.value_or(0);
    if (expected == 0) return std::nullopt;
    return static_cast<double>(missing.value_or(0)) / static_cast<double>(expected);
}

void TimelineOfReadings::add(CounterReading reading) {
    if (last_ && reading.when <= last_->when) return;
    if (last_) timeline_.push_back(between(*last_, reading));
    last_ = std::move(reading);
}

Timeline timeline_of_streams(const Diagnosis& diagnosis) {
    std::map<std::chrono::sys_seconds, TimelinePoint> seconds;
    for (const FlowRecord& flow : diagnosis.statistics.flows)
        for (const RtpStream& stream : flow.streams) {
            if (stream.direction != KUDO_INGRESS || !stream.quality) continue;
            for (const RtpSecond& second : stream.quality->seconds) {
                const auto begin = std::chrono::floor<std::chrono::seconds>(second.begin);
                TimelinePoint& point = seconds[begin];
                point.begin = begin;
                point.duration = 1s;
                point.received = point.received.value_or(0) + second.received;
                point.missing = point.missing.value_or(0) + second.missing;
            }
        }
    Timeline timeline;
    for (const auto& [begin, point] : seconds)
        timeline.push_back(point);
    return timeline;
}

} // namespace kudo
