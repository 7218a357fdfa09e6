// SPDX-License-Identifier: MIT
// Reads beside the screen, and not so often that reading takes much of a core.
// Invariant: one reading at a time; keys never wait for it.
#pragma once

#include <chrono>
#include <future>
#include <optional>

#include "agent/diagnosis/diagnosis.h"
#include "agent/system/fd.h"
#include "agent/system/instance.h"
#include "cli/top/layout.h"

namespace kudo {

// How long after the start of one reading the next one begins, if a round takes so much of a core: at least a second,
// and 1.5 % of that time at most.
std::chrono::milliseconds interval_for(std::chrono::nanoseconds cpu_of_a_round);

class Reader {
public:
    using Clock = std::chrono::steady_clock;
    static Result<Reader> make(const Instance& instance);

    // Readable once a reading has ended.
    [[nodiscard]] int fd() const { return ended_.get(); }
    [[nodiscard]] bool is_reading() const { return reading_.valid(); }
    // When the next one is due; not while one goes on.
    [[nodiscard]] Clock::time_point next() const { return begun_ + interval_; }
    void start();
    // After fd() was readable. `begun()` is when it began.
    Result<Diagnosis> take();
    [[nodiscard]] Clock::time_point begun() const { return begun_; }
    [[nodiscard]] std::chrono::milliseconds interval() const { return interval_; }

private:
    Reader(Instance instance, Fd ended) : instance_(std::move(instance)), ended_(std::move(ended)) {}

    Instance instance_;
    Fd ended_; // eventfd; closed after the reading that writes to it
    Clock::time_point begun_;
    std::chrono::milliseconds interval_{0};
    std::optional<std::chrono::nanoseconds> cpu_; // of this process, when the last reading had ended
    std::chrono::nanoseconds round_before_{0};
    std::future<Result<Diagnosis>> reading_;
};

} // namespace kudo
