// SPDX-License-Identifier: MIT
// A wire that takes time, for kernels without netem: frames of one device leave the other so much later, in order; the
// other way they pass at once.
// Invariant: a frame is never lost for want of room; both devices' checksums and segmentation are done before.
#pragma once

#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "agent/system/fd.h"
#include "agent/system/network_namespace.h"

namespace kudo::bench {

class DelayingWire {
public:
    // Both devices are in this namespace, up, and have no addresses. `delay`: ms. Throws.
    DelayingWire(const NetworkNamespace& space, const std::string& delayed, const std::string& prompt, double delay);

private:
    struct Frame {
        int64_t due = 0; // ns
        std::vector<uint8_t> bytes;
    };
    void carry(const std::stop_token& stop);
    void take_delayed();
    void pass_prompt();

    int64_t delay_;
    Fd delayed_, prompt_;
    std::deque<Frame> waiting_;
    std::vector<uint8_t> buffer_;
    std::jthread carrying_; // last: it ends first
};

} // namespace kudo::bench
