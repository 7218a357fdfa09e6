// SPDX-License-Identifier: MIT
#include "agent/flowrecords/ledger.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "agent/flowrecords/batch.h"
#include "maps/base/hash.h"

namespace kudo {
namespace {

constexpr int64_t slack = 1500;    // ms: times of flows are known to the kernel's tick, and looks take time
constexpr uint8_t ended_after = 2; // looks without it: one may miss a row that the program is just writing
constexpr std::string_view magic = "kudo-flow-ledger/2";
constexpr std::size_t boot_size = 64;

bool is_lower(const kudo_counter (&now)[KUDO_DIRECTIONS], const kudo_counter (&before)[KUDO_DIRECTIONS]) {
    for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++)
        if (now[direction].packets < before[direction].packets || now[direction].bytes < before[direction].bytes)
            return true;
    return false;
}

void add_growth(kudo_counter (&sum)[KUDO_DIRECTIONS], const kudo_counter (&now)[KUDO_DIRECTIONS],
                const kudo_counter (&before)[KUDO_DIRECTIONS]) {
    for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++) {
        sum[direction].packets += now[direction].packets - before[direction].packets;
        sum[direction].bytes += now[direction].bytes - before[direction].bytes;
    }
}

uint64_t packets_of(const kudo_counter (&counters)[KUDO_DIRECTIONS]) {
    return counters[KUDO_INGRESS].packets + counters[KUDO_EGRESS].packets;
}

uint64_t id_of(const FlowIdentity& flow) {
    Blake2b hash;
    hash.add(&flow, sizeof flow);
    const auto digest = hash.digest();
    uint64_t id = 0;
    std::memcpy(&id, digest.data(), sizeof id);
    return id;
}

// What a ledger's text begins with; behind it are the entries as they are.
struct Head {
    char magic[32] = {}, boot[boot_size] = {};
    uint64_t entry_size = 0, entries = 0;
    int64_t last_look = 0;
};

void fill_text(std::span<char> to, std::string_view text) {
    std::memcpy(to.data(), text.data(), std::min(text.size(), to.size() - 1));
}

} // namespace

bool FlowLedger::Entry::has_pending() const {
    return packets_of(pending) != 0;
}

std::size_t FlowLedger::Hash::operator()(const FlowIdentity& flow) const {
    return std::hash<std::string_view>()({reinterpret_cast<const char*>(&flow), sizeof flow});
}

bool FlowLedger::note(const SeenFlow& flow, LedgerTime now) {
    auto [place, is_new] = entries_.try_emplace(flow.record.flow);
    Entry& entry = place->second;
    const bool had_pending = entry.has_pending();
    const int64_t began = now.monotonic - flow.age;
    const bool began_again = !is_new && (is_lower(flow.record.counters, entry.seen.counters) ||
                                         began > entry.began + slack || entry.end == FlowEnd::Forced);
    constexpr kudo_counter zero[KUDO_DIRECTIONS] = {};
    if (is_new || began_again)
        add_growth(entry.pending, flow.record.counters, zero);
    else
        add_growth(entry.pending, flow.record.counters, entry.seen.counters);
    const uint64_t id = is_new ? id_of(flow.record.flow) : entry.seen.flow_id;
    entry.seen = flow.record;
    entry.seen.flow_id = id;
    entry.began = began;
    entry.missed_looks = 0;
    if (std::exchange(entry.end, FlowEnd::Active) != FlowEnd::Active) ended_--;
    // Behind the last look, if the flow was there then.
    if (!had_pending) entry.pending_since = is_new ? began : last_look_;
    return began_again && had_pending;
}

bool FlowLedger::look(std::span<const SeenFlow> flows, LedgerTime now) {
    for (auto& [flow, entry] : entries_)
        if (entry.missed_looks < ended_after) entry.missed_looks++;
    bool only_here = false;
    for (const SeenFlow& flow : flows)
        only_here = note(flow, now) || only_here;
    for (auto place = entries_.begin(); place != entries_.end();) {
        Entry& entry = place->second;
        if (entry.missed_looks >= ended_after && entry.end == FlowEnd::Active) {
            entry.end = FlowEnd::NoRoom;
            ended_++;
            only_here = only_here || entry.has_pending();
        }
        // What is in flight stays, so that handed_over() finds what it was taken from.
        const bool goes =
            entry.end != FlowEnd::Active && (!entry.has_pending() || ended_ > max_ended) && !entry.in_flight;
        if (goes) {
            forgotten_ += packets_of(entry.pending);
            ended_--;
        }
        place = goes ? entries_.erase(place) : std::next(place);
    }
    last_look_ = now.monotonic;
    find_due(now);
    return only_here;
}

bool FlowLedger::end_all(LedgerTime now) {
    bool only_here = false;
    for (auto& [flow, entry] : entries_)
        if (entry.end == FlowEnd::Active) {
            entry.end = FlowEnd::Forced;
            entry.missed_looks = ended_after;
            ended_++;
            only_here = only_here || entry.has_pending();
        }
    return look({}, now) || only_here;
}

bool FlowLedger::is_due(const Entry& entry, LedgerTime now) const {
    if (!entry.has_pending()) return false;
    return entry.end != FlowEnd::Active || now.monotonic - entry.pending_since >= timeouts_.active.count() ||
           now.wall - entry.seen.stop >= timeouts_.idle.count();
}

void FlowLedger::find_due(LedgerTime now) {
    due_.clear();
    if (is_in_flight()) return; // found again by handed_over()
    for (const auto& [flow, entry] : entries_)
        if (is_due(entry, now)) due_.push_back(flow);
}

DataRecord FlowLedger::record_of(const Entry& entry, LedgerTime now) const {
    DataRecord record = entry.seen;
    std::ranges::copy(entry.pending, record.counters);
    if (entry.reported_until != 0) record.start = std::min(entry.reported_until, record.stop);
    record.end = entry.end != FlowEnd::Active                       ? entry.end
                 : now.wall - record.stop >= timeouts_.idle.count() ? FlowEnd::Idle
                                                                    : FlowEnd::Active;
    return record;
}

std::vector<DataRecord> FlowLedger::take(std::size_t most, LedgerTime now) {
    std::vector<DataRecord> records;
    if (is_in_flight()) return records;
    for (; records.size() < most && !due_.empty(); due_.pop_front()) {
        const auto place = entries_.find(due_.front());
        if (place == entries_.end() || !place->second.has_pending()) continue;
        place->second.in_flight = true;
        const DataRecord record = record_of(place->second, now);
        Handed& handed = in_flight_.emplace_back();
        handed.flow = record.flow;
        std::ranges::copy(record.counters, handed.counters);
        handed.stop = record.stop;
        records.push_back(record);
    }
    return records;
}

void FlowLedger::handed_over(std::size_t count, LedgerTime now) {
    count = std::min(count, in_flight_.size());
    for (std::size_t i = 0; i < in_flight_.size(); i++) {
        Entry& entry = entries_.at(in_flight_[i].flow);
        entry.in_flight = false;
        if (i >= count) continue;
        for (std::size_t direction = 0; direction < KUDO_DIRECTIONS; direction++) {
            entry.pending[direction].packets -= in_flight_[i].counters[direction].packets;
            entry.pending[direction].bytes -= in_flight_[i].counters[direction].bytes;
        }
        entry.reported_until = in_flight_[i].stop;
        entry.pending_since = now.monotonic;
    }
    const bool all = count == in_flight_.size();
    in_flight_.clear();
    if (!all || due_.empty()) find_due(now);
}

std::size_t FlowLedger::max_text(std::size_t rows) {
    return sizeof(Head) + (2 * rows + max_ended + max_batch) * sizeof(Entry);
}

std::string FlowLedger::write(std::string_view boot) const {
    Head head;
    fill_text(head.magic, magic);
    fill_text(head.boot, boot);
    head.entry_size = sizeof(Entry);
    head.entries = entries_.size();
    head.last_look = last_look_;
    std::string text(reinterpret_cast<const char*>(&head), sizeof head);
    text.reserve(sizeof head + entries_.size() * sizeof(Entry));
    for (const auto& [flow, entry] : entries_)
        text.append(reinterpret_cast<const char*>(&entry), sizeof entry);
    return text;
}

Result<void> FlowLedger::read(std::string_view text, std::string_view boot, LedgerTime now) {
    static_assert(std::is_trivially_copyable_v<Entry>);
    Head head, expected;
    fill_text(expected.magic, magic);
    fill_text(expected.boot, boot);
    if (text.size() < sizeof head) return fail("is cut short");
    std::memcpy(&head, text.data(), sizeof head);
    text.remove_prefix(sizeof head);
    if (std::memcmp(head.magic, expected.magic, sizeof head.magic) != 0 || head.entry_size != sizeof(Entry) ||
        text.size() % sizeof(Entry) != 0 || head.entries != text.size() / sizeof(Entry))
        return fail("is no ledger that this version has written");
    const bool same_boot = std::memcmp(head.boot, expected.boot, sizeof head.boot) == 0;
    for (; !text.empty(); text.remove_prefix(sizeof(Entry))) {
        Entry entry;
        std::memcpy(&entry, text.data(), sizeof entry);
        entry.in_flight = false;
        if (entry.end != FlowEnd::Active && entry.end != FlowEnd::NoRoom) entry.end = FlowEnd::Forced;
        entry.seen.service[sizeof entry.seen.service - 1] = entry.seen.interface[sizeof entry.seen.interface - 1] =
            '\0';
        if (!same_boot) {
            entry.pending_since = now.monotonic;
            if (entry.end == FlowEnd::Active) entry.end = FlowEnd::Forced;
            entry.missed_looks = ended_after;
        }
        if (entries_.emplace(entry.seen.flow, entry).second && entry.end != FlowEnd::Active) ended_++;
    }
    last_look_ = same_boot ? head.last_look : now.monotonic;
    find_due(now);
    return {};
}

} // namespace kudo
