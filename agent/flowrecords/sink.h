// SPDX-License-Identifier: MIT
// Where the service itself hands flow records over: to a process of a destination, or into a file.
// Invariant: it never waits; at most one batch is with it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/flowrecords/data_record.h"

namespace kudo {

class FlowSink {
public:
    // Called once for each batch: how many records of it, from the first on, were handed over.
    using HandedOver = std::function<void(std::size_t count)>;
    FlowSink() = default;
    FlowSink(const FlowSink&) = delete;
    FlowSink& operator=(const FlowSink&) = delete;
    virtual ~FlowSink() = default;

    [[nodiscard]] virtual bool is_ready() const = 0; // for a batch
    virtual void send(const std::vector<DataRecord>& batch) = 0;
    [[nodiscard]] virtual std::string problem() const = 0; // empty: none
};

} // namespace kudo
