// SPDX-License-Identifier: MIT
// What sources have delivered, until it is accepted or refused.
// Invariant: bounded; of deliveries with the same `source` only the newest is kept.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <string>

#include "agent/acceptance/acceptance.h"
#include "agent/service/alarms.h"

namespace kudo {

class Deliveries {
public:
    Deliveries(const Instance& instance, AcceptanceSettings settings, ServiceAlarms& alarms, Retries& retries);

    void add(Delivery delivery);
    // When decide() has something to do.
    [[nodiscard]] std::chrono::steady_clock::time_point due() const;
    // Decides all, if they are due. What cannot be decided now is tried again, after the others; what is refused is an
    // alarm, and gone until its source brings it again. True if anything changed.
    bool decide();

private:
    bool log(const Acceptance& acceptance);
    void log_once(const Delivery& delivery, const std::string& why);

    const Instance& instance_;
    AcceptanceSettings settings_;
    ServiceAlarms& alarms_;
    std::deque<Delivery> waiting_;
    std::map<std::string, std::string> logged_; // by source: the content and the reason that were logged last
    std::chrono::steady_clock::time_point next_{};
    std::chrono::milliseconds retry_;
};

} // namespace kudo
