// SPDX-License-Identifier: MIT
// A source with a thread of its own, which may wait for a server.
// Invariant: the service's loop waits for that thread no longer than a copy takes. Of deliveries with the same `source`
// only the newest waits for the loop, so the memory is bounded.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "agent/sources/source.h"
#include "agent/system/fd.h"

namespace kudo {

// The derived class owns the thread, as its last member: a std::jthread that takes_no_signals() first. Its destruction
// requests the stop and joins it.
class ThreadedSource : public Source {
public:
    ThreadedSource(const ThreadedSource&) = delete;
    ThreadedSource& operator=(const ThreadedSource&) = delete;

    [[nodiscard]] std::string name() const final { return name_; }
    // -1 if the system had no descriptor left.
    [[nodiscard]] int fd() const final { return ready_.get(); }
    void on_ready(const Deliver& deliver) final;
    [[nodiscard]] SourceHealth health() const override;

protected:
    using Clock = std::chrono::steady_clock;
    using TimePoint = Clock::time_point;
    using Milliseconds = std::chrono::milliseconds;
    static constexpr TimePoint never = TimePoint::max();

    explicit ThreadedSource(std::string name);

    // From any thread: changes what mutex_ guards, and wakes the source's thread.
    template <typename Change> void call(Change change) {
        {
            const std::lock_guard lock(mutex_);
            change();
        }
        called_.notify_one();
    }

    // Called by the source's thread only:
    // Signals are for the service's loop; threads of a library that begin later inherit this.
    static void takes_no_signals();
    void put(Delivery delivery);
    void all_read(); // without a problem
    void set_problem(std::string problem);
    // A random time from `min_part` to `max_part` of this.
    Milliseconds random_part(Milliseconds wait, double min_part, double max_part);
    // The same after a failure: the wait doubles with each one in a row, from `first` to `max`.
    Milliseconds retry_wait(Milliseconds first, Milliseconds max, unsigned& failures, double min_part);

    mutable std::mutex mutex_;
    std::condition_variable_any called_;
    SourceHealth health_; // guarded by mutex_
    std::mt19937_64 random_;

private:
    const std::string name_;
    const Fd ready_;
    std::vector<Delivery> waiting_; // guarded by mutex_
};

} // namespace kudo
