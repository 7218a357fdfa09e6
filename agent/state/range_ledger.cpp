// SPDX-License-Identifier: MIT
#include "agent/state/range_ledger.h"

#include <algorithm>
#include <set>
#include <utility>

namespace kudo {
namespace {

constexpr std::string_view event_names[] = {"staged", "activated", "rolled back", "retired", "dropped", "key set"};

void remember(RangeLedger& ledger, Time when, RangeEvent event, AcceptedMap map) {
    ledger.history.push_back({when, event, std::move(map)});
    if (ledger.history.size() > history_length) ledger.history.erase(ledger.history.begin());
}

// `map` has been accepted: nothing below it ever will be again.
void raise_highest(RangeLedger& ledger, const AcceptedMap& map) {
    // A key set may have named a highest serial of which the content is not known: the first one counts.
    if (map.serial < ledger.highest_serial || (map.serial == ledger.highest_serial && !ledger.highest_hash.empty()))
        return;
    ledger.highest_serial = map.serial;
    ledger.highest_hash = map.hash;
}

// Counts the running time since the last reading against every map that retires.
void count_down(RangeLedger& ledger, const Uptime& uptime) {
    const auto ran = elapsed(ledger.uptime, uptime);
    for (RetiringMap& map : ledger.retiring)
        map.remaining -= std::min(ran, map.remaining);
    ledger.uptime = uptime;
}

// Puts `map` in place of the active one, which retires.
void replace_active(RangeLedger& ledger, const AcceptedMap& map, std::chrono::seconds grace, const TimePoint& moment) {
    count_down(ledger, moment.uptime);
    std::erase_if(ledger.retiring, [&](const RetiringMap& retiring) { return retiring.hash == map.hash; });
    if (grace > std::chrono::seconds(0) && ledger.active.hash != map.hash)
        ledger.retiring.insert(ledger.retiring.begin(), {ledger.active.serial, ledger.active.hash, grace});
    if (ledger.retiring.size() > retiring_length) ledger.retiring.pop_back();
    ledger.active = map;
    ledger.active.early = false;
}

void drop_staged(RangeLedger& ledger, uint64_t first, uint64_t last, Time now) {
    std::erase_if(ledger.staged, [&](const AcceptedMap& staged) {
        if (staged.serial < first || staged.serial > last) return false;
        remember(ledger, now, RangeEvent::Dropped, staged);
        return true;
    });
}

} // namespace

std::string_view event_name(RangeEvent event) {
    return event_names[static_cast<std::size_t>(event)];
}

std::optional<RangeEvent> range_event_of(std::string_view name) {
    const auto* found = std::ranges::find(event_names, name);
    if (found == std::end(event_names)) return std::nullopt;
    return static_cast<RangeEvent>(found - event_names);
}

bool RangeLedger::empty() const {
    return highest_serial == 0 && active.hash.empty() && staged.empty() && retiring.empty() && rolled_back_from == 0 &&
           key_set_serial == 0 && !keys && alarms.empty();
}

std::vector<std::string> RangeLedger::documents() const {
    std::set<std::string> hashes{active.hash};
    for (const AcceptedMap& map : staged)
        hashes.insert(map.hash);
    for (const RetiringMap& map : retiring)
        hashes.insert(map.hash);
    for (const HistoryEntry& entry : history)
        if (entry.took_effect()) hashes.insert(entry.map.hash);
    hashes.erase("");
    return {hashes.begin(), hashes.end()};
}

const AcceptedMap* next_staged(const RangeLedger& ledger) {
    const auto next = std::ranges::min_element(ledger.staged, {}, &AcceptedMap::effective);
    return next == ledger.staged.end() ? nullptr : &*next;
}

TimePoint current_time_point() {
    return {wall_time(), read_uptime()};
}

void activate(RangeLedger& ledger, const AcceptedMap& map, std::chrono::seconds grace, const TimePoint& moment) {
    raise_highest(ledger, map);
    replace_active(ledger, map, grace, moment);
    ledger.rolled_back_from = 0;
    std::erase_if(ledger.staged, [&](const AcceptedMap& staged) { return staged.hash == map.hash; });
    drop_staged(ledger, 0, map.serial, moment.now);
    remember(ledger, moment.now, RangeEvent::Activated, ledger.active);
}

void replace_content(RangeLedger& ledger, const AcceptedMap& map, std::chrono::seconds grace, const TimePoint& moment) {
    replace_active(ledger, map, grace, moment);
    remember(ledger, moment.now, RangeEvent::Activated, ledger.active);
}

void stage(RangeLedger& ledger, const AcceptedMap& map, const TimePoint& moment) {
    raise_highest(ledger, map);
    std::erase_if(ledger.staged, [&](const AcceptedMap& staged) { return staged.hash == map.hash; });
    ledger.staged.push_back(map); // its serial is the highest
    if (ledger.staged.size() > staged_length) drop_staged(ledger, 0, ledger.staged.front().serial, moment.now);
    remember(ledger, moment.now, RangeEvent::Staged, map);
}

void roll_back(RangeLedger& ledger, const AcceptedMap& map, std::chrono::seconds grace, const TimePoint& moment) {
    ledger.rolled_back_from = std::max({ledger.highest_serial, ledger.active.serial, ledger.rolled_back_from});
    drop_staged(ledger, 0, UINT64_MAX, moment.now);
    replace_active(ledger, map, grace, moment);
    remember(ledger, moment.now, RangeEvent::RolledBack, ledger.active);
}

bool advance(RangeLedger& ledger, std::chrono::seconds grace, const TimePoint& moment, Staged staged) {
    bool changed = false;
    const auto ran = elapsed(ledger.uptime, moment.uptime);
    const auto is_over = [&](const RetiringMap& map) { return map.remaining <= ran; };
    if (!ledger.retiring.empty() && (ran >= std::chrono::hours(1) || ledger.uptime.boot != moment.uptime.boot ||
                                     std::ranges::any_of(ledger.retiring, is_over))) {
        count_down(ledger, moment.uptime);
        std::erase_if(ledger.retiring, [&](const RetiringMap& map) {
            if (map.remaining > std::chrono::seconds(0)) return false;
            AcceptedMap retired;
            retired.serial = map.serial;
            retired.hash = map.hash;
            remember(ledger, moment.now, RangeEvent::Retired, std::move(retired));
            return true;
        });
        changed = true;
    }
    if (staged == Staged::Leave) return changed;
    // The host was off from its date until it expired: it would be refused now.
    changed |=
        std::erase_if(ledger.staged, [&](const AcceptedMap& map) {
            if (map.effective > moment.now || !map.expires || *map.expires > moment.now) return false;
            remember(ledger, moment.now, RangeEvent::Dropped, map);
            raise_alarm(ledger.alarms, map.source,
                        "range map " + std::to_string(map.serial) + " was staged and has expired before it took effect",
                        moment.now);
            return true;
        }) != 0;
    const auto due = std::find_if(ledger.staged.rbegin(), ledger.staged.rend(),
                                  [&](const AcceptedMap& map) { return map.effective <= moment.now; });
    if (due == ledger.staged.rend()) return changed;
    activate(ledger, AcceptedMap(*due), grace, moment);
    return true;
}

void lower_highest(RangeLedger& ledger, uint64_t serial, const std::string& hash, Time now) {
    if (ledger.highest_serial < serial) return;
    ledger.highest_serial = serial;
    ledger.highest_hash = hash;
    ledger.rolled_back_from = std::min(ledger.rolled_back_from, serial);
    drop_staged(ledger, serial + 1, UINT64_MAX, now);
}

void follow_keys(RangeLedger& ledger, KeySet keys, const std::string& source, const TimePoint& moment) {
    AcceptedMap about;
    about.serial = keys.serial;
    about.source = source;
    remember(ledger, moment.now, RangeEvent::KeySet, std::move(about));
    ledger.key_set_serial = std::max(ledger.key_set_serial, keys.serial);
    if (keys.serial_floor != 0 && ledger.highest_serial > keys.serial_floor) {
        const auto has_it = [&](const HistoryEntry& entry) {
            return entry.event != RangeEvent::KeySet && entry.map.serial == keys.serial_floor;
        };
        const auto known = std::find_if(ledger.history.rbegin(), ledger.history.rend(), has_it);
        lower_highest(ledger, keys.serial_floor, known == ledger.history.rend() ? "" : known->map.hash, moment.now);
    }
    ledger.keys = std::move(keys);
}

RangeLedger rollback_protection(const RangeLedger& ledger) {
    RangeLedger result;
    result.highest_serial = ledger.highest_serial;
    result.highest_hash = ledger.highest_hash;
    result.rolled_back_from = ledger.rolled_back_from;
    result.keys = ledger.keys;
    result.key_set_serial = ledger.key_set_serial;
    return result;
}

void keep_highest(RangeLedger& ledger, const RangeLedger& later) {
    if (later.highest_serial <= ledger.highest_serial) return;
    ledger.highest_serial = later.highest_serial;
    ledger.highest_hash = later.highest_hash;
}

const AcceptedMap* find_document(const RangeLedger& ledger, const std::string& document) {
    if (ledger.active.document == document) return &ledger.active;
    const auto staged = std::ranges::find(ledger.staged, document, &AcceptedMap::document);
    if (staged != ledger.staged.end()) return &*staged;
    for (const HistoryEntry& entry : ledger.history)
        if (entry.map.document == document) return &entry.map;
    return nullptr;
}

std::optional<AcceptedMap> map_before(const RangeLedger& ledger) {
    if (ledger.active.hash.empty()) return std::nullopt;
    bool before_active = false; // the entries of the history from the newest on
    for (auto entry = ledger.history.rbegin(); entry != ledger.history.rend(); ++entry) {
        if (!entry->took_effect()) continue;
        if (entry->map.hash == ledger.active.hash) {
            before_active = true;
            continue;
        }
        const bool same_serial = entry->map.serial == ledger.active.serial && ledger.rolled_back_from == 0;
        if (before_active && (entry->map.serial < ledger.active.serial || same_serial)) return entry->map;
    }
    AcceptedMap built_in;
    built_in.source = "built-in";
    return built_in;
}

} // namespace kudo
