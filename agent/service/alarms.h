// SPDX-License-Identifier: MIT
// What goes wrong while the service runs: logged once, and raised as an alarm, which is what other processes see.
// Invariant: an alarm lasts as long as re-reads find its cause again, and one that time has caused lasts for a day. One
// source writes at most one a minute to the disk.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/state/range_ledger.h"
#include "agent/system/instance.h"

namespace kudo {

// For the instance's lock: waiting must not trip the watchdog.
inline constexpr std::chrono::milliseconds service_lock_timeout{500};

// The sentence without the numbers that stand alone in it, which change from one look to the next.
std::string numberless(std::string_view sentence);

class ServiceAlarms {
public:
    // `lasts`: how long an alarm lasts after its cause was last found.
    ServiceAlarms(const Instance& instance, std::chrono::milliseconds lasts) : instance_(instance), lasts_(lasts) {}

    // Logs it unless it was logged since all was well.
    void warn_once(const std::string& text);
    // What one look at the host has found wrong: each is logged once, and once more when it has ended. `whole`: the
    // look saw all there is; else nothing is known to have ended. A number in a sentence that has changed makes it no
    // other.
    void found(const std::set<std::string>& wrong, bool whole);
    void all_well() { logged_.clear(); }
    // Stores it in the desired state; the caller has logged it. True if it is new there.
    bool raise(const std::string& source, const std::string& text);
    // Of one that this service has raised: its cause is known to be gone.
    void over(const std::string& source);
    // Removes from the ledger those whose cause is gone. `before`: the alarms before time passed; what is new since
    // then was caused by time.
    void end(RangeLedger& ledger, const std::vector<Alarm>& before);

private:
    using Clock = std::chrono::steady_clock;

    const Instance& instance_;
    const std::chrono::milliseconds lasts_;
    const Clock::time_point began_ = Clock::now();
    std::set<std::string> logged_;
    std::map<std::string, std::string> standing_;           // what was found last, as it was logged; by numberless()
    std::map<std::string, Clock::time_point> next_, until_; // by an alarm's source
};

} // namespace kudo
