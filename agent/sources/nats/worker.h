// SPDX-License-Identifier: MIT
// The thread of the message server's source: connects, reads, reports, for ever.
// Invariant: it alone touches the connection; whatever fails is tried again, after a wait that never exceeds the
// options' longest.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "agent/sources/delivery_inbox.h"
#include "agent/sources/nats/connection.h"

namespace kudo {

class NatsWorker {
public:
    NatsWorker(NatsOptions options, DeliveryInbox& inbox);
    ~NatsWorker();
    NatsWorker(const NatsWorker&) = delete;
    NatsWorker& operator=(const NatsWorker&) = delete;

    // From any thread, without waiting:
    void read_again();
    void report(std::string report);
    [[nodiscard]] SourceHealth health() const;

private:
    using Clock = std::chrono::steady_clock;
    using TimePoint = Clock::time_point;

    // What others want of the thread.
    struct Calls {
        bool end = false;
        bool closed = false;  // the connection is lost
        bool read = false;    // everything, and deliver it whether or not it is new
        bool report = false;  // there is a new one
        bool message = false; // somebody rang
    };

    // A key that is delivered, and what was delivered last.
    struct Place {
        std::string key;
        bool is_needed = false;     // its absence is a problem
        bool always = false;        // a read_again() has not been answered yet
        std::string delivered = {}; // content_hash; empty: nothing
    };

    void run();
    Calls wait_for_calls();
    [[nodiscard]] TimePoint next_moment() const;
    [[nodiscard]] bool report_is_wanted() const { return report_ != stored_report_; }

    void connect();
    void drop(const std::string& problem);
    void check_health();
    void read_everything();
    void answer_doorbell();
    void store_report();
    // Looks it up if that is not done yet.
    Result<void> open_bucket(std::optional<NatsBucket>& bucket, const std::string& name);
    Result<void> read_places();
    Result<void> read_place(NatsBucket& bucket, Place& place);
    Result<void> check_report();
    // The connection may still be good: a bucket that is missing is no reason to leave.
    void leave_if_lost(const Error& error);

    void set_problem(std::string problem);
    void set_report_problem(std::string problem);
    TimePoint after(std::chrono::milliseconds wait, double least, double most);
    TimePoint after_failure(unsigned& failures);

    const NatsOptions options_;
    DeliveryInbox& inbox_;

    std::atomic<bool> ending_ = false; // nothing new is asked of the server

    mutable std::mutex mutex_;
    std::condition_variable called_;
    Calls calls_;                // guarded by mutex_
    std::string new_report_;     // guarded by mutex_
    SourceHealth health_;        // guarded by mutex_; of reading
    std::string report_problem_; // guarded by mutex_

    // The thread's own from here on.
    std::mt19937_64 random_;
    std::optional<NatsConnection> connection_;
    std::optional<NatsBucket> maps_, hosts_; // of the connection; looked up anew after every failure and re-reading
    std::array<Place, 2> places_;
    std::string report_, stored_report_;
    unsigned connect_failures_ = 0, read_failures_ = 0, report_failures_ = 0;
    std::optional<TimePoint> next_connect_, next_check_, next_read_, next_doorbell_, next_report_;

    std::thread thread_; // last: it uses all of the above
};

} // namespace kudo
