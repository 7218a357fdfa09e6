// SPDX-License-Identifier: MIT
// What the tests of a message server's faults have in common: how often and for how long, a server that lets hosts in
// or not, and the times that healing took.
// Invariant: the waits of what is tested are shortened, to a 300th where five minutes are allowed.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "tests/support/nats_server.h"

namespace kudo::test {

// KUDO_FAULT_ROUNDS says how often each fault is done; 1 if it is not set.
int fault_rounds();
// KUDO_FAULT_SECONDS says for how long nothing answers. 3 if it is not set: several times what is needed to notice
// that, and to fail to connect.
std::chrono::seconds fault_silence();
// Healing takes no longer. A 300th of five minutes would be 1 s; this leaves room for a busy machine.
inline constexpr std::chrono::seconds fault_limit{10};

// Who may speak to the server: an operator always, hosts or not. Each change counts at once.
class FaultyAccess {
public:
    explicit FaultyAccess(const NatsServer& server) : server_(server) {}
    [[nodiscard]] std::string operator_credentials() const; // a file
    [[nodiscard]] std::string host_credentials() const;
    void admit_hosts() const;
    void refuse_hosts() const;

private:
    void set_password(const std::string& of_hosts) const;
    const NatsServer& server_;
};

class HealingTimes {
public:
    void add(std::chrono::steady_clock::duration time) { times_.push_back(time); }
    // One line for people, unless there are none.
    void print() const;

private:
    std::vector<std::chrono::steady_clock::duration> times_;
};

} // namespace kudo::test
