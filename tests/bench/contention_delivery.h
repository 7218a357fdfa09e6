// SPDX-License-Identifier: MIT
// What became of packets: how many came, and how long they took.
// Invariant: a packet belongs to the window in which it was sent, whenever it came.
#pragma once

#include <cstdint>
#include <vector>

namespace kudo::bench {

// CLOCK_MONOTONIC, ns: the same in all namespaces.
int64_t now_ns();
void sleep_until(int64_t when);
// The calling thread, where it may: the delays are to be the line's, not those of the bulk traffic's threads on the
// same few processors.
void before_other_threads();

struct Window {
    int64_t begin = 0, end = 0; // ns
    [[nodiscard]] bool holds(int64_t when) const { return begin <= when && when < end; }
    [[nodiscard]] double seconds() const { return static_cast<double>(end - begin) / 1e9; }
};

struct Quantiles {
    double p50 = 0, p99 = 0, max = 0; // ms; 0 of nothing
};
Quantiles quantiles_of(std::vector<int64_t> nanoseconds);

struct Delivery {
    uint64_t sent = 0, received = 0, lost = 0;
    uint64_t refused = 0; // of the lost: by the sender's own kernel
    Quantiles delay;      // one way, of the received
    [[nodiscard]] double loss_percent() const;
};

} // namespace kudo::bench
