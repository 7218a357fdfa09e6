// SPDX-License-Identifier: MIT
// What `doctor` says of one thing that it has looked at.
// Invariant: "pass" is said only of what was looked at; what could not be is "skip", with the reason.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kudo {

enum class CheckResult { Pass, Warn, Fail, Skip };
std::string_view result_name(CheckResult result); // "pass", "warn", "fail", "skip"

struct CheckReport {
    CheckResult result = CheckResult::Skip;
    std::string summary{};               // one sentence without its full stop
    std::vector<std::string> evidence{}; // what was seen
    std::string fix{};                   // a command for a shell of this host; empty: there is none
    std::string advice{};                // who must do what, where no command of this host does it
};

inline CheckReport passed(std::string summary, std::vector<std::string> evidence = {}) {
    return {CheckResult::Pass, std::move(summary), std::move(evidence), {}, {}};
}
inline CheckReport skipped(std::string why) {
    return {CheckResult::Skip, std::move(why), {}, {}, {}};
}

} // namespace kudo
