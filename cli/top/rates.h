// SPDX-License-Identifier: MIT
// How fast each flow is: the difference between one reading of the counters and the next.
// Invariant: pure; a rate is of what was counted between two readings, or there is none. A flow that was not in the
// reading before, or whose counts began again (its row was given away and came back, another data path), has one only
// if all that it has counted fell into that time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "agent/inspect/statistics.h"

namespace kudo {

struct FlowKey {
    uint8_t protocol = 0;
    uint16_t local_port = 0, remote_port = 0;
    uint32_t interface_index = 0;
    Address local, remote;
    bool operator==(const FlowKey&) const = default;
};
FlowKey key_of(const FlowRecord& flow);
struct FlowKeyHash {
    std::size_t operator()(const FlowKey& key) const;
};

struct FlowRate {
    double in = 0, out = 0; // bit/s, bytes as on the wire of layer 3
    [[nodiscard]] double both() const { return in + out; }
};

class Rates {
public:
    // How many rates are kept of each flow.
    static constexpr std::size_t history = 48;

    // The next reading. `elapsed`: since the one before, by a clock that is never set; not used for the first.
    void add(const Statistics& now, std::chrono::duration<double> elapsed);
    // What follows has nothing to do with what was before.
    void forget() { *this = Rates(); }

    // Of the last reading's flow at this place.
    [[nodiscard]] std::optional<FlowRate> rate(std::size_t flow) const;
    // Of the last `count` intervals, the newest last, in and out together; fewer if it is younger.
    [[nodiscard]] std::vector<std::optional<float>> trend(std::size_t flow, std::size_t count) const;

private:
    struct Past {
        Directions counters{};
        std::optional<FlowRate> rate;
        std::vector<std::optional<float>> rates; // a ring once it is full
        std::size_t next = 0;                    // its oldest
        uint64_t round = 0;                      // of the reading that had it last
    };
    std::unordered_map<FlowKey, Past, FlowKeyHash> flows_;
    std::vector<const Past*> places_; // by the flow's place in the last reading
    uint64_t round_ = 0;
};

} // namespace kudo
