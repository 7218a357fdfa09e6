// SPDX-License-Identifier: MIT
#include "cli/views/enforcement_view.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "cli/terminal/output.h"
#include "maps/base/abi_names.h"
#include "maps/base/time.h"

namespace kudo {
namespace {

// Of mode enforce that is not confirmed yet; 0: nothing is to be confirmed.
uint64_t seconds_left(const Status& status) {
    if (status.effect.deadline <= status.read_at.since_boot) return 0;
    return (status.effect.deadline - status.read_at.since_boot + 999'999'999) / 1'000'000'000;
}

std::string_view lapse_name(Lapse lapse) {
    return lapse == Lapse::Unconfirmed ? "unconfirmed" : lapse == Lapse::Rebooted ? "rebooted" : "";
}

std::vector<std::string> prefix_texts(const std::vector<Prefix>& prefixes) {
    std::vector<std::string> texts;
    for (const Prefix& prefix : prefixes)
        texts.push_back(prefix.text());
    return texts;
}

std::vector<std::string> rule_texts(const Lifeline& lifeline) {
    std::vector<std::string> texts;
    for (const AllowRule& rule : lifeline.rules)
        texts.push_back(rule.text);
    return texts;
}

// As the kernel has it.
std::string lifeline_line(const Lifeline& lifeline) {
    if (lifeline.off && lifeline.in_kernel.empty()) return "off";
    std::string text = fmt::format("{}", fmt::join(lifeline.in_kernel, "; "));
    if (!lifeline.only.empty())
        text += fmt::format("{}restricted to {}", text.empty() ? "" : " ", fmt::join(prefix_texts(lifeline.only), ","));
    if (!lifeline.note.empty()) text += fmt::format("{}{}", text.empty() ? "nothing: " : "; ", lifeline.note);
    return text.empty() ? "not in the kernel now" : text;
}

} // namespace

kudo_mode shown_mode(const Status& status) {
    return status.generation != 0 ? status.mode : status.effect.mode;
}

OrderedJson enforcement_json(const Status& status) {
    if (!status.desired.enabled || status.desired.mode != KUDO_ENFORCE) return nullptr;
    const uint64_t left = seconds_left(status);
    return {{"in_effect", status.admission == KUDO_ADMISSION_ENFORCE},
            {"confirmed", status.desired.enforcement.confirmed},
            {"confirm_within_seconds", left != 0 ? OrderedJson(left) : OrderedJson(nullptr)},
            {"ended", text_or_null(std::string(lapse_name(status.effect.lapse)))}};
}

OrderedJson rehearsal_json(const Status& status) {
    const auto& rehearsal = status.desired.rehearsal;
    if (!status.desired.enabled || !rehearsal) return nullptr;
    return {{"begin", rfc3339(rehearsal->begin)},
            {"end", rfc3339(rehearsal->end)},
            {"running", status.admission == KUDO_ADMISSION_REHEARSE}};
}

std::string mode_text(const Status& status) {
    std::string text(mode_name(shown_mode(status)));
    if (status.desired.mode == KUDO_ENFORCE && status.effect.mode == KUDO_ENFORCE)
        text += status.desired.enforcement.confirmed
                    ? ", confirmed"
                    : fmt::format(", ends in {} s unless kudo-agent confirm is given from a new login or connection",
                                  seconds_left(status));
    if (const auto& rehearsal = status.desired.rehearsal)
        text += status.effect.admission == KUDO_ADMISSION_REHEARSE
                    ? fmt::format(", rehearsing enforce until {}", rfc3339(rehearsal->end))
                    : fmt::format("; the rehearsal of enforce ended at {}", rfc3339(rehearsal->end));
    return text;
}

std::string admission_text(const Status& status) {
    if (status.lifelines.empty()) return "";
    std::string text;
    for (const std::string& rule : status.desired.allow)
        text += fmt::format("  {:<11} {}\n", text.empty() ? "allow" : "", one_line(rule));
    const char* title = "lifelines";
    const auto has_some = [](const Lifeline& lifeline) { return !lifeline.in_kernel.empty(); };
    if (status.admission == KUDO_ADMISSION_NONE && std::ranges::none_of(status.lifelines, has_some))
        return text + fmt::format("  {:<11} none in the kernel: nothing is dropped\n", title);
    for (const Lifeline& lifeline : status.lifelines)
        text += fmt::format("  {:<11} {}: {}\n", std::exchange(title, ""), lifeline.name, lifeline_line(lifeline));
    return text;
}

OrderedJson lifelines_json(const Status& status) {
    OrderedJson list = OrderedJson::array();
    for (const Lifeline& lifeline : status.lifelines)
        list.push_back({{"name", lifeline.name},
                        {"off", lifeline.off},
                        {"only", prefix_texts(lifeline.only)},
                        {"rules", lifeline.in_kernel},
                        {"desired", rule_texts(lifeline)},
                        {"note", text_or_null(lifeline.note)}});
    return list;
}

} // namespace kudo
