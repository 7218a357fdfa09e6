// SPDX-License-Identifier: MIT
// How many packets of incoming RTP streams have come to the programs and how many are missing, over all streams, as sums that only
// grow. Invariant: pure. Streams that were there at the first look count from then on, those that came later from their
// beginning; one whose counters went down began again at zero. What a stream counted between its last look and its end
// is in no sum.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "agent/inspect/statistics.h"

namespace kudo {

class MediaLoss {
public:
    void look(const std::vector<FlowRecord>& flows);
    [[nodiscard]] bool has_looked() const { return has_looked_; }
    [[nodiscard]] uint64_t received() const { return sum_.received; } // each sequence number once
    [[nodiscard]] uint64_t missing() const { return sum_.missing; }

private:
    struct Packets {
        uint64_t received = 0, missing = 0;
    };
    std::unordered_map<uint64_t, Packets> streams_; // at the last look, by a hash of flow and SSRC
    Packets sum_;
    bool has_looked_ = false;
};

} // namespace kudo
