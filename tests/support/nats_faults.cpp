// SPDX-License-Identifier: MIT
#include "tests/support/nats_faults.h"

#include <signal.h>

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

namespace kudo::test {

namespace {

int number_of(const char* variable, int otherwise) {
    const char* wish = std::getenv(variable);
    return wish ? std::max(1, std::atoi(wish)) : otherwise;
}

} // namespace

int fault_rounds() {
    return number_of("KUDO_FAULT_ROUNDS", 1);
}

std::chrono::seconds fault_silence() {
    return std::chrono::seconds(number_of("KUDO_FAULT_SECONDS", 3));
}

std::string FaultyAccess::operator_credentials() const {
    return server_.folder().write("op", "op:o\n");
}

std::string FaultyAccess::host_credentials() const {
    return server_.folder().write("host", "host:right\n");
}

void FaultyAccess::admit_hosts() const {
    set_password("right");
}

void FaultyAccess::refuse_hosts() const {
    set_password("other");
}

void FaultyAccess::set_password(const std::string& of_hosts) const {
    server_.configure("authorization { users: [ {user: op, password: o}, {user: host, password: " + of_hosts + "} ] }");
    server_.send(SIGHUP);
}

void HealingTimes::print() const {
    if (times_.empty()) return;
    auto times = times_;
    std::ranges::sort(times);
    const auto milliseconds = [](auto time) { return std::chrono::duration<double, std::milli>(time).count(); };
    fmt::print("[  HEALED  ] {} of {} times; after the fault p50 {:.0f} ms, longest {:.0f} ms\n", times.size(),
               fault_rounds(), milliseconds(times[times.size() / 2]), milliseconds(times.back()));
}

} // namespace kudo::test
