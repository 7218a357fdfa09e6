// SPDX-License-Identifier: MIT
#include "cli/views/doctor_view.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "cli/terminal/output.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

Style style_of(CheckResult result) {
    switch (result) {
    case CheckResult::Pass:
        return Style::Green;
    case CheckResult::Warn:
        return Style::Yellow;
    case CheckResult::Fail:
        return Style::Red;
    case CheckResult::Skip:
        break;
    }
    return Style::Dim;
}

constexpr std::size_t name_column = 20;

std::size_t count(const DoctorReport& report, CheckResult result) {
    return static_cast<std::size_t>(
        std::ranges::count_if(report.checks, [&](const NamedReport& check) { return check.report.result == result; }));
}

std::string labelled(std::string_view label, const std::string& text, bool wraps) {
    constexpr std::size_t indent = 6;
    const std::string line = one_line(text);
    const std::string begin = fmt::format("      {}", label);
    return begin + (wraps ? wrapped(line, output_width(), indent, begin.size()) : line) + "\n";
}

// In whole: what somebody must look at.
std::string at_length(const NamedReport& check, bool colour) {
    constexpr std::size_t indent = 6;
    const CheckReport& report = check.report;
    const std::string begin = fmt::format("{}  ", result_name(report.result));
    std::string text = paint(result_name(report.result), style_of(report.result), colour) + "  " +
                       wrapped(one_line(fmt::format("{} ({}): {}", check.title, check.name, report.summary)),
                               output_width(), indent, begin.size()) +
                       "\n";
    for (const std::string& line : report.evidence)
        text += labelled("- ", line, true);
    if (!report.fix.empty()) text += labelled("fix: ", report.fix, false); // to be copied
    if (!report.advice.empty()) text += labelled("", report.advice, true);
    return text;
}

} // namespace

OrderedJson doctor_json(const DoctorReport& report, const Subject& subject, const std::string& note) {
    OrderedJson checks = OrderedJson::array();
    for (const NamedReport& check : report.checks)
        checks.push_back({{"name", check.name},
                          {"group", check.group},
                          {"title", check.title},
                          {"result", result_name(check.report.result)},
                          {"summary", check.report.summary},
                          {"evidence", check.report.evidence},
                          {"fix", text_or_null(check.report.fix)},
                          {"advice", text_or_null(check.report.advice)},
                          {"milliseconds", check.took.count()}});
    return {{"regions", subject.desired.regions},
            {"teams", subject.desired.teams},
            {"failed", count(report, CheckResult::Fail)},
            {"warned", count(report, CheckResult::Warn)},
            {"passed", count(report, CheckResult::Pass)},
            {"skipped", count(report, CheckResult::Skip)},
            {"unfinished", text_or_null(report.unfinished)},
            {"checks", std::move(checks)},
            {"milliseconds", report.took.count()},
            {"note", text_or_null(note)}};
}

std::string doctor_text(const DoctorReport& report, const Subject& subject, const std::string& note, bool colour) {
    std::string text;
    if (!note.empty()) text += wrapped(one_line(note), output_width()) + "\n";
    for (const CheckResult result : {CheckResult::Fail, CheckResult::Warn})
        for (const NamedReport& check : report.checks)
            if (check.report.result == result) text += at_length(check, colour);
    for (const CheckResult result : {CheckResult::Pass, CheckResult::Skip}) {
        std::string list;
        for (const NamedReport& check : report.checks)
            if (check.report.result == result)
                list += fmt::format("{:<{}}{}\n", check.name, name_column,
                                    wrapped(one_line(check.report.summary), output_width(), name_column, name_column));
        if (list.empty()) continue;
        text += (text.empty() ? "" : "\n") +
                paint(result == CheckResult::Pass ? "pass" : "skip, because", style_of(result), colour) + "\n" + list;
    }
    if (!report.unfinished.empty())
        text += "\n" + wrapped(one_line("not all was looked at: " + report.unfinished), output_width()) + "\n";
    return text + fmt::format("\n{}{}: {} failed, {} warned, {} passed, {} skipped, in {:.1f} s\n",
                              fmt::join(subject.desired.regions, ","), subject.desired.teams ? " and Teams" : "",
                              count(report, CheckResult::Fail), count(report, CheckResult::Warn),
                              count(report, CheckResult::Pass), count(report, CheckResult::Skip),
                              static_cast<double>(report.took.count()) / 1000);
}

} // namespace kudo
