// SPDX-License-Identifier: MIT
#include "agent/diagnosis/recording.h"

#include <algorithm>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include "agent/datapath/datapath.h"
#include "agent/diagnosis/snapshots.h"

namespace kudo {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t max_flows_read = 20'000; // as in the service's snapshots

// What the service has kept, and the present as its end.
void read_kept(const Instance& instance, CounterReading now, Recording& recording) {
    const auto data_path = DataPath::open(instance);
    if (!data_path) {
        recording.why_none_kept = data_path.error().message;
        return;
    }
    TimelineOfReadings kept;
    for_each_snapshot(instance, *data_path, [&](Snapshot snapshot) {
        kept.add({now.when - snapshot.age, std::move(snapshot.series)});
    });
    kept.add(std::move(now));
    recording.kept = kept.timeline();
    if (recording.kept.empty())
        recording.why_none_kept = "the service, kudo-agent run, has kept no counters of an earlier time";
}

} // namespace

Result<Recording> record(const Instance& instance, std::chrono::seconds duration) {
    Recording recording;
    std::map<std::chrono::system_clock::time_point, TimelinePoint> seconds; // the newest reading of each
    TimelineOfReadings samples;
    const auto end = Clock::now() + duration;
    for (auto next = Clock::now();; next = std::max(next + reading_every, Clock::now())) {
        std::this_thread::sleep_until(std::min(next, end));
        const bool is_last = Clock::now() >= end;
        const Diagnosis diagnosis = KUDO_TRY(diagnose(instance, {.owners = false}));
        for (const TimelinePoint& point : timeline_of_streams(diagnosis))
            seconds[point.begin] = point;
        CounterReading reading{diagnosis.statistics.read_at, series_of(diagnosis, max_flows_read)};
        if (is_last) read_kept(instance, reading, recording);
        samples.add(std::move(reading));
        if (is_last) break;
    }
    for (const auto& [begin, point] : seconds)
        recording.streams.push_back(point);
    recording.samples = samples.timeline();
    // When they were missed is known by the second.
    for (TimelinePoint& point : recording.samples)
        point.received = point.missing = std::nullopt;
    return recording;
}

} // namespace kudo
