// SPDX-License-Identifier: MIT
// This host's range maps over time: which one is in effect, which are staged, which are being withdrawn, what was ever
// accepted. Part of the desired state.
// Invariant: the highest serial never goes down but by lower_highest(), a decision that is signed or an admin's; every
// change is one function here, pure, on a copy that is then saved whole, so that a crash leaves the state before or
// after it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/state/alarms.h"
#include "agent/system/uptime.h"
#include "maps/document/range_map.h"
#include "maps/trust/key_set.h"

namespace kudo {

// A map that was accepted. Its document is stored under its hash: see range_store.h.
struct AcceptedMap {
    uint64_t serial = 0;
    std::string hash;                   // content_hash() of its canonical document; empty: the built-in map
    std::string document;               // content_hash() of its bytes as they were signed; empty: not known
    std::string source;                 // where it came from, for people
    std::vector<std::string> signed_by; // key ids; empty: a local admin's decision
    Time effective{};
    std::optional<Time> expires;
    bool early = false; // while it is staged: are its additions honoured already?
};

// A map whose ranges are honoured for a while although a later one withdrew them.
struct RetiringMap {
    uint64_t serial = 0;
    std::string hash;
    std::chrono::seconds remaining{}; // of the host's running time, which no step of the clock changes
};

enum class RangeEvent { Staged, Activated, RolledBack, Retired, Dropped, KeySet };
std::string_view event_name(RangeEvent event); // "staged", "activated", "rolled back", "retired", "dropped", "key set"
std::optional<RangeEvent> range_event_of(std::string_view name);

struct HistoryEntry {
    Time when{}; // by the system's clock then
    RangeEvent event{};
    AcceptedMap map; // of a key set: only serial, source and signed_by

    [[nodiscard]] bool took_effect() const { return event == RangeEvent::Activated || event == RangeEvent::RolledBack; }
};

inline constexpr std::size_t history_length = 50, staged_length = 8, retiring_length = 16;

struct RangeLedger {
    uint64_t highest_serial = 0;       // ever accepted; 0: none but the built-in map
    std::string highest_hash;          // empty although there is a serial: the content of that serial is not known
    AcceptedMap active;                // serial 0: the built-in map
    std::vector<AcceptedMap> staged;   // by serial
    std::vector<RetiringMap> retiring; // newest first
    uint64_t rolled_back_from = 0; // an administrator's rollback, in force until a map supersedes this serial; 0: none
    std::optional<KeySet> keys;    // that followed the admin's folder of keys
    uint64_t key_set_serial = 0;   // the highest that was ever followed
    std::vector<HistoryEntry> history; // newest last
    std::vector<Alarm> alarms;         // newest last
    Uptime uptime;                     // up to when `remaining` has been counted down

    [[nodiscard]] bool empty() const; // as if no map but the built-in one had ever been here
    // The hashes of all documents that must be kept, sorted: those in use, and those that a rollback may want.
    [[nodiscard]] std::vector<std::string> documents() const;
};

// The staged map that takes effect first; null: none.
const AcceptedMap* next_staged(const RangeLedger& ledger);

// One moment on both clocks.
struct TimePoint {
    Time now{}; // the system's clock, which may be set
    Uptime uptime;
};
TimePoint current_time_point();

// Puts a map in effect. The one before retires for `grace` if that is not zero. Staged maps with lower serials are
// dropped.
void activate(RangeLedger& ledger, const AcceptedMap& map, std::chrono::seconds grace, const TimePoint& moment);
// Other content under the serial that is in effect: a local decision that no serial knows of.
void replace_content(RangeLedger& ledger, const AcceptedMap& map, std::chrono::seconds grace, const TimePoint& moment);
// Keeps a map until its effective date.
void stage(RangeLedger& ledger, const AcceptedMap& map, const TimePoint& moment);
// An admin's decision for an older map, until a map says that it supersedes the present highest serial. Drops staged
// ones.
void roll_back(RangeLedger& ledger, const AcceptedMap& map, std::chrono::seconds grace, const TimePoint& moment);
// What time brings: withdraws the retiring maps whose grace is over, and activates the highest staged map that is due.
// True if the ledger changed; the running time alone is written down every hour.
enum class Staged { Activate, Leave };
bool advance(RangeLedger& ledger, std::chrono::seconds grace, const TimePoint& moment,
             Staged staged = Staged::Activate);
// Takes a highest serial above `serial` down to it, so that maps after that are taken again; `hash`: of the map that
// has it, empty: not known. Drops staged maps above it, and a rollback is one from no more than this. The map in effect
// stays.
void lower_highest(RangeLedger& ledger, uint64_t serial, const std::string& hash, Time now);
// A key set takes the place of the folder of keys, or of the key set before.
void follow_keys(RangeLedger& ledger, KeySet keys, const std::string& source, const TimePoint& moment);
// What must outlive everything: the highest serials, the key set, an admin's rollback.
RangeLedger rollback_protection(const RangeLedger& ledger);
// What may be lost when a change is taken back, all but this: no serial is ever accepted twice with other content.
void keep_highest(RangeLedger& ledger, const RangeLedger& later);
// What was accepted as these bytes; null: nothing that is in effect, staged or in the history.
const AcceptedMap* find_document(const RangeLedger& ledger, const std::string& document);
// The map that was in effect before the one that is now, of a lower serial, or before other content came under the
// same; nothing: none that the history knows. The built-in map has no hash.
std::optional<AcceptedMap> map_before(const RangeLedger& ledger);

} // namespace kudo
