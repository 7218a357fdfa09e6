// SPDX-License-Identifier: MIT
// What one destination has been given of each flow, and what it is still to get.
// Invariant: pure. What all records of a flow that were handed over say together, and what is pending, is what the flow
// has counted: a delta is subtracted only when its record was handed over. A flow that began again at zero, evicted and
// entered anew, goes on; of what it counted between the last look and its eviction nobody can know.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/flowrecords/seen_flows.h"
#include "maps/base/result.h"

namespace kudo {

// Milliseconds: of a clock that is never set, and of the wall clock.
struct LedgerTime {
    int64_t monotonic = 0, wall = 0;
};

struct LedgerTimeouts {
    std::chrono::milliseconds active = std::chrono::seconds(60); // a record at least so often while it has packets
    std::chrono::milliseconds idle = std::chrono::seconds(15);   // and when none has come for so long
};

class FlowLedger {
public:
    static constexpr std::size_t max_ended = 65536; // flows that have ended and whose last record waits
    explicit FlowLedger(LedgerTimeouts timeouts) : timeouts_(timeouts) {}

    // True: something that is pending is in no flow table any more, only here.
    bool look(std::span<const SeenFlow> flows, LedgerTime now);
    // There is no data path any more: every flow has ended.
    bool end_all(LedgerTime now);

    // The records that are due now, at most so many; none while others are in flight.
    std::vector<DataRecord> take(std::size_t most, LedgerTime now);
    // Of those in flight the first `count` were handed over; the others are due again.
    void handed_over(std::size_t count, LedgerTime now);

    [[nodiscard]] bool empty() const { return entries_.empty(); }
    [[nodiscard]] bool is_in_flight() const { return !in_flight_.empty(); }
    [[nodiscard]] bool has_due() const { return !due_.empty(); }
    // Entries: at most what two looks saw, max_ended, and what is in flight.
    [[nodiscard]] std::size_t size() const { return entries_.size(); }
    // Packets of flows that had ended and for which there was no room any more: in no record.
    [[nodiscard]] uint64_t forgotten_packets() const { return forgotten_; }

    // For a restart of the service: what was in flight is due again then. `boot`: this boot's id.
    [[nodiscard]] std::string write(std::string_view boot) const;
    // No text is longer while the flow tables have so many rows.
    static std::size_t max_text(std::size_t rows);
    // Into an empty one. Of another boot: those flows have ended. An Error: it is not a ledger of this program's.
    Result<void> read(std::string_view text, std::string_view boot, LedgerTime now);

private:
    struct Entry {
        DataRecord seen;                            // as last seen; counters since the flow began
        kudo_counter pending[KUDO_DIRECTIONS] = {}; // in no record that was handed over
        int64_t reported_until = 0;                 // wall; 0: nothing was handed over yet
        int64_t pending_since = 0;                  // monotonic: what is pending was counted after it
        int64_t began = 0;                          // monotonic
        uint8_t missed_looks = 0;
        bool in_flight = false;        // a record of it is
        FlowEnd end = FlowEnd::Active; // else it has ended
        [[nodiscard]] bool has_pending() const;
    };
    struct Handed {
        FlowIdentity flow;
        kudo_counter counters[KUDO_DIRECTIONS];
        int64_t stop;
    };
    struct Hash {
        std::size_t operator()(const FlowIdentity& flow) const;
    };
    using Entries = std::unordered_map<FlowIdentity, Entry, Hash>;

    bool note(const SeenFlow& flow, LedgerTime now); // as look()
    [[nodiscard]] bool is_due(const Entry& entry, LedgerTime now) const;
    void find_due(LedgerTime now);
    [[nodiscard]] DataRecord record_of(const Entry& entry, LedgerTime now) const;

    LedgerTimeouts timeouts_;
    Entries entries_;
    std::deque<FlowIdentity> due_;
    std::vector<Handed> in_flight_;
    int64_t last_look_ = 0; // monotonic
    std::size_t ended_ = 0; // entries of flows that have ended
    uint64_t forgotten_ = 0;
};

} // namespace kudo
