// SPDX-License-Identifier: MIT
// How many packets of incoming RTP streams have come to the programs and how many are missing, over all streams, as
// sums that only grow. Invariant: pure. Streams that were there at the first look count from then on, those that came
// later from their beginning; one whose counters went down began again at zero. One that is not there for a while, as
// where its flow's row was evicted, goes on from what it had. What a stream counted between its last look and its end
// is in no sum.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "agent/inspect/statistics.h"

namespace kudo {

class MediaLoss {
public:
    struct Packets {
        uint64_t received = 0; // each sequence number once
        uint64_t missing = 0;
    };
    void look(const std::vector<FlowRecord>& flows);
    [[nodiscard]] const Packets& sum() const { return sum_; }

private:
    struct Stream {
        Packets counted;
        unsigned unseen = 0; // looks
    };
    std::unordered_map<uint64_t, Stream> streams_; // by a hash of flow and SSRC
    Packets sum_;
    bool has_looked_ = false;
};

} // namespace kudo
