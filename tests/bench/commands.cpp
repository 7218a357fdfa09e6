// SPDX-License-Identifier: MIT
// Whole processes: how long the commands take on a prepared machine.
#include <stdexcept>

#include "tests/bench/sections.h"

namespace kudo::bench {

void measure_commands(const test::TestHost& host, Report& report) {
    report.section("commands, whole processes");
    std::vector<double> enable, again, status, disable;
    const auto timed = [&](std::vector<double>& times, const std::vector<std::string>& arguments) {
        test::Outcome outcome;
        times.push_back(time_of([&] { outcome = test::run_program(host.agent_argv(arguments)); }) / 1e6);
        if (outcome.status != 0) throw std::runtime_error(outcome.err);
    };
    for (int round = 0; round < report.options().rounds(); round++) {
        timed(enable, {"enable", "--region", "ca"});
        timed(again, {"enable", "--region", "ca"});
        timed(status, {"status"});
        timed(disable, {"disable"});
    }
    report.line("enable --region ca", "ms", spread_of(enable), 150, 1500);
    report.line("enable again", "ms", spread_of(again));
    report.line("status", "ms", spread_of(status), 20, 300);
    report.line("disable", "ms", spread_of(disable));
}

} // namespace kudo::bench
