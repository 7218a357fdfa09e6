// SPDX-License-Identifier: MIT
#include "cli/report/answer.h"

#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/diagnosis/verdict.h"
#include "cli/report/fields.h"

namespace kudo {
namespace {

OrderedJson answer(std::string_view from, const std::string& summary, std::string_view who) {
    return {{"summary", summary}, {"where", nullptr},      {"who", text_or_null(std::string(who))}, {"advice", nullptr},
            {"command", nullptr}, {"confidence", nullptr}, {"evidence", OrderedJson::array()},      {"from", from}};
}

OrderedJson of_verdict(const OrderedJson& verdict) {
    const std::string where = text_field(verdict, "where");
    std::string_view who;
    for (const LossPlace place : {LossPlace::BeforeHost, LossPlace::Host, LossPlace::Policy, LossPlace::Application})
        if (loss_place_name(place) == where) who = who_can_help(place);
    OrderedJson json = answer("stats", text_field(verdict, "summary"), who);
    for (const char* name : {"where", "advice", "command", "confidence", "evidence"})
        json[name] = field(verdict, name);
    return json;
}

OrderedJson of_check(const OrderedJson& check) {
    OrderedJson json =
        answer("doctor", fmt::format("{}: {}.", text_field(check, "title"), text_field(check, "summary")),
               who_for_check(check));
    json["advice"] = field(check, "advice");
    json["command"] = field(check, "fix");
    json["evidence"] = list_field(check, "evidence");
    return json;
}

} // namespace

std::string who_for_check(const OrderedJson& check) {
    const std::string group = text_field(check, "group");
    const bool elsewhere = group == "name" || group == "reach" || group == "proxy" || group == "load";
    if (elsewhere && text_field(check, "fix").empty()) return std::string(who_can_help(LossPlace::BeforeHost));
    return std::string(who_can_help(LossPlace::Host));
}

std::string also_failing(const OrderedJson& answer, const OrderedJson& doctor) {
    const std::string first = text_field(answer, "who");
    if (first.empty()) return "";
    std::map<std::string, std::string> titles; // by who must act
    for (const OrderedJson& check : list_field(doctor, "checks")) {
        if (text_field(check, "result") != "fail") continue;
        std::string& text = titles[who_for_check(check)];
        text += (text.empty() ? "" : ", ") + text_field(check, "title");
    }
    titles.erase(first);
    std::string all;
    for (const auto& [who, text] : titles)
        all += fmt::format("{}{}: {}", all.empty() ? "" : "; ", who, text);
    return all;
}

OrderedJson answer_of(const OrderedJson& stats, const OrderedJson& doctor, const std::string& why_no_stats) {
    const OrderedJson& verdict = field(stats, "verdict");
    const std::string where = text_field(verdict, "where");
    const bool is_loss = verdict.is_object() && where != "none" && where != "unknown";
    if (is_loss) return of_verdict(verdict);
    for (const OrderedJson& check : list_field(doctor, "checks"))
        if (text_field(check, "result") == "fail") return of_check(check);
    if (verdict.is_object()) return of_verdict(verdict);
    std::string summary = "No call could be looked at: " + why_no_stats + ".";
    if (doctor.is_object()) summary += " Nothing was found that keeps KUDO from working here.";
    return answer(doctor.is_object() ? "doctor" : "stats", summary, "");
}

} // namespace kudo
