// SPDX-License-Identifier: MIT
// What the service has seen of the counters before: `stats --since` and the last minute's losses come from here.
// Invariant: bounded in files and in bytes; a snapshot is whole or is not there; one of another boot or of another data
// path, whose counters began elsewhere, is never compared with. They are for people to look back, not state: losing
// them breaks nothing.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "agent/datapath/datapath.h"
#include "agent/diagnosis/series.h"
#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

// How often the service takes one, and which of them stay: all of five minutes, then one a minute for an hour, then one
// every ten minutes for a day; of those the newest within 32 MiB.
inline constexpr std::chrono::seconds snapshot_every{15};

struct Snapshot {
    std::chrono::seconds age; // by the time that the host has been running: a clock that is set changes nothing
    Series series;
};

// Stores what `diagnosis` shows now, and deletes what is no longer kept. Not fsynced: losing one does no harm.
Result<void> save_snapshot(const Instance& instance, const DataPath& data_path, const Diagnosis& diagnosis);

// The newest that is at least so old; if there is none, the oldest that there is. Nothing: there is none of this data
// path.
Result<std::optional<Snapshot>> load_snapshot(const Instance& instance, const DataPath& data_path,
                                              std::chrono::seconds age);

// Gives out all of this data path one by one, the oldest first. What cannot be read is left out.
void for_each_snapshot(const Instance& instance, const DataPath& data_path,
                       const std::function<void(Snapshot snapshot)>& take);

} // namespace kudo
