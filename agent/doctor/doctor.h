// SPDX-License-Identifier: MIT
// `doctor`: whether KUDO works from this host, and what keeps it from that. One list of checks.
// Invariant: changes nothing on this host and leaves nothing behind. What is sent, and how much at most, is in
// docs/doctor.md; all of it has ended within 15 s.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "agent/doctor/check.h"
#include "agent/doctor/subject.h"

namespace kudo {

struct NamedReport {
    std::string name;  // stable: "firewall_out"
    std::string group; // stable: "host", "interface", "firewall", "route", "name", "reach", "mark", "proxy", "load"
    std::string title; // for people
    CheckReport report;
    std::chrono::milliseconds took{};
};

struct DoctorReport {
    std::vector<NamedReport> checks; // in the list's order
    std::chrono::milliseconds took{};
    std::string unfinished{}; // why the checks that ask the network did not come to their end; empty: they did
    // Also where not all was looked at that should have been.
    [[nodiscard]] bool has_failed() const;
};
// What comes from the network is read in processes without any capability, but for the headers that routers quote,
// which take CAP_NET_RAW (hops.h). Call it where there are no other threads. `on_check`: is told of each check that has
// ended, and how many have.
DoctorReport run_doctor(const Subject& subject,
                        const std::function<void(const NamedReport&, std::size_t ended)>& on_check = {});

// Name, group and title of every check, for documentation and tests; without reports.
std::vector<NamedReport> doctor_checks();

} // namespace kudo
