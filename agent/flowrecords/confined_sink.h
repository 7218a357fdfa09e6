// SPDX-License-Identifier: MIT
// A destination in a process of its own without any capability: what connects, resolves names, and speaks TLS is there.
// Invariant: a process that ends is started again, after a wait that doubles; what it had not handed over is due again.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "agent/confined/process.h"
#include "agent/flowrecords/sink.h"
#include "agent/flowrecords/worker.h"
#include "agent/system/event_loop.h"
#include "maps/base/result.h"

namespace kudo {

class ConfinedSink : public FlowSink {
public:
    // `loop` outlives it.
    ConfinedSink(WorkerSettings settings, EventLoop& loop, HandedOver handed_over);
    ~ConfinedSink() override;

    // Starts its process, if there is none and it is time to. Ends one that neither hands over nor says why, after six
    // times the settings' timeout.
    void start_if_due();
    [[nodiscard]] pid_t pid() const { return process_ ? process_->pid() : -1; }
    [[nodiscard]] bool is_ready() const override { return process_ && !is_busy_; }
    void send(const std::vector<DataRecord>& batch) override;
    [[nodiscard]] std::string problem() const override { return problem_; }

private:
    using Clock = std::chrono::steady_clock;
    void receive();
    Result<void> take_all_news();
    void end(const std::string& why);

    const WorkerSettings settings_;
    EventLoop& loop_;
    HandedOver handed_over_;
    std::optional<ConfinedProcess> process_;
    bool is_busy_ = false; // a batch is with it
    std::string received_, problem_;
    Clock::time_point started_{}, sent_{}, next_start_{};
    std::chrono::milliseconds wait_;
};

} // namespace kudo
