// SPDX-License-Identifier: MIT
// A fleet's message server as a source of range maps and key sets, and where the host reports.
// Invariant: the server only notifies, and is not trusted: a notification makes us read, what is read is only
// delivered, and whatever happens to server, network, store or credentials, everything is read again at least every
// `read_again`. A notification that carries the document saves the reading, and is no more trusted. The thread alone
// uses the connection; what fails is tried again, after a wait of at most max_reconnect_wait.
#pragma once

#include <array>
#include <deque>
#include <optional>
#include <string>

#include "agent/fleet/host_report.h"
#include "agent/sources/nats/connection.h"
#include "agent/sources/threaded_source.h"

namespace kudo {

class NatsSource : public ThreadedSource {
public:
    // Connects when it is read for the first time. `options.fleet`, `ring` and `host` are valid (is_simple_name,
    // is_host_name).
    explicit NatsSource(NatsOptions options);
    // Waits for the one request that is under way: at most connect_wait or answer_wait, however many servers there are.
    ~NatsSource() override;

    // Delivers all of it, also what has been delivered before.
    void read_again(const Deliver& deliver) override;
    // The problem is that of reading; if there is none, that of reporting.
    [[nodiscard]] SourceHealth health() const override;

    // Stores what the host says of itself. The latest wins; it is tried until it is stored, and stored again if the
    // server has lost it.
    void report(const HostReport& report);

private:
    // What others ask of the thread.
    struct Calls {
        bool closed = false;                  // the connection is lost
        bool read = false;                    // everything, and deliver it whether or not it is new
        bool report = false;                  // there is a new one
        bool message = false;                 // a notification without the document
        std::array<std::string, 2> documents; // those that notifications carried, by the number of the key
    };

    // A key that is delivered, and what was delivered last.
    struct WatchedKey {
        std::string key;
        bool is_needed = false;     // its absence is a problem
        bool always = false;        // a read_again() has not been answered yet
        std::string delivered = {}; // content_hash; empty: nothing
    };

    void run(const std::stop_token& stop);
    Calls wait_for_calls();
    [[nodiscard]] TimePoint next_due() const;
    [[nodiscard]] bool report_is_wanted() const { return report_ != stored_report_; }

    void connect();
    void drop(const std::string& problem);
    void check_health();
    void read_everything();
    void on_event(const NatsEvent& event);
    void read_notified();
    void store_report();
    // Looks it up if that is not done yet.
    Result<void> open_bucket(std::optional<NatsBucket>& bucket, const std::string& name);
    Result<void> read_keys();
    Result<void> read_key(NatsBucket& bucket, WatchedKey& watched);
    [[nodiscard]] std::string source_of(const WatchedKey& watched) const;
    Result<void> deliver_value(WatchedKey& watched, const std::string& value);
    // Those that this machine left before it was booted; and whether another machine has this name.
    Result<void> look_at_namesakes();
    Result<void> check_report();
    [[nodiscard]] bool is_anothers(const NatsEntry& entry) const;
    void report_apart();
    // The connection may still be good: a bucket that is missing is no reason to leave.
    void leave_if_lost(const Error& error);

    TimePoint after_failure(unsigned& failures);

    const NatsOptions options_;

    Calls calls_;                // guarded by mutex_
    std::string new_report_;     // guarded by mutex_
    HostReport new_about_;       // guarded by mutex_; whose report that is
    std::string report_problem_; // guarded by mutex_
    std::string clash_;          // guarded by mutex_; another machine has this name
    std::string apart_;          // guarded by mutex_; instead of an identity that another machine has too

    // The thread's own from here on.
    std::stop_token stop_; // then nothing new is asked of the server
    std::optional<NatsConnection> connection_;
    std::optional<NatsBucket> maps_, hosts_; // of the connection; looked up again after every failure and re-read
    std::array<WatchedKey, 2> keys_;
    HostReport about_;
    std::string report_, stored_report_;
    std::deque<std::string> written_; // content_hash of the reports that were written last
    std::optional<Time> first_report_;
    bool must_read_ = false;               // for a notification that carried nothing
    std::array<std::string, 2> documents_; // carried by notifications
    unsigned connect_failures_ = 0, read_failures_ = 0, report_failures_ = 0;
    TimePoint next_connect_ = never, next_check_ = never, next_read_ = never, next_notified_read_ = never;
    TimePoint next_report_ = never;

    std::jthread thread_; // last: it uses all of the above
};

} // namespace kudo
