// SPDX-License-Identifier: MIT
#include "cli/report/document.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/report/answer.h"
#include "cli/report/asked.h"
#include "cli/report/fields.h"
#include "cli/views/stats_json.h"

namespace kudo {
namespace {

constexpr std::size_t max_flows = 300, max_drops = 200, max_others = 100;
constexpr int max_depth = 24;

template <typename T> std::size_t cut(std::vector<T>& list, std::size_t limit) {
    const std::size_t before = list.size();
    list.resize(std::min(before, limit));
    return before - list.size();
}

// Leaves the busiest flows, and the drops that matter most.
OrderedJson cut_to_size(Diagnosis& diagnosis) {
    const std::size_t flows = cut(diagnosis.statistics.flows, max_flows), drops = cut(diagnosis.drops, max_drops),
                      denied = cut(diagnosis.statistics.denied.flows, max_others),
                      strays = cut(diagnosis.statistics.stale.strays, max_others),
                      names = cut(diagnosis.statistics.stale.moved_names, max_others),
                      findings = cut(diagnosis.verdict.findings, max_others);
    std::erase_if(diagnosis.flows, [](const auto& entry) { return entry.first >= max_flows; });
    for (DiagnosedDrop& drop : diagnosis.drops)
        if (drop.flow && *drop.flow >= max_flows) drop.flow.reset();
    return {{"flows", flows},   {"drops", drops},       {"denied", denied},
            {"strays", strays}, {"moved_names", names}, {"findings", findings}};
}

template <typename T> OrderedJson or_null(const std::optional<T>& value) {
    return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson timeline_json(const Timeline& timeline) {
    OrderedJson list = OrderedJson::array();
    for (const TimelinePoint& point : timeline)
        list.push_back({{"begin", rfc3339_milliseconds(point.begin)},
                        {"milliseconds", point.duration.count()},
                        {"received", or_null(point.received)},
                        {"missing", or_null(point.missing)},
                        {"loss", or_null(point.loss())},
                        {"rtt_ms", or_null(point.rtt_ms)},
                        {"bits_in", or_null(point.bits_in)},
                        {"bits_out", or_null(point.bits_out)}});
    return list;
}

OrderedJson recording_json(const std::optional<Recording>& recording) {
    if (!recording) return nullptr;
    return {{"streams", timeline_json(recording->streams)},
            {"samples", timeline_json(recording->samples)},
            {"kept", timeline_json(recording->kept)},
            {"not_kept_because", text_or_null(recording->why_none_kept)}};
}

} // namespace

Result<OrderedJson> report_document(ReportParts parts) {
    OrderedJson stats, left_out;
    if (parts.diagnosis) {
        left_out = cut_to_size(*parts.diagnosis);
        std::string text;
        KUDO_TRY(write_stats_json(*parts.diagnosis, {.flows = true, .drops = true}, true,
                                  [&](std::string_view piece) -> Result<void> {
                                      text += piece;
                                      return {};
                                  }));
        stats = OrderedJson::parse(text, nullptr, false);
        for (const std::string& gap : parts.diagnosis->gaps)
            parts.not_known.push_back(gap);
    } else {
        parts.not_known.push_back("No call could be looked at: " + parts.why_no_diagnosis + ".");
    }
    if (parts.doctor.is_null()) parts.not_known.push_back("The network was not checked: " + parts.why_no_doctor + ".");
    OrderedJson document = {{"format", report_format},
                            {"made_at", rfc3339_milliseconds(parts.made_at)},
                            {"host", parts.host},
                            {"redacted", false}};
    document["answer"] = answer_of(stats, parts.doctor, parts.why_no_diagnosis);
    document["asked"] = asked_of_network(stats, parts.doctor, parts.teams);
    document["timeline"] = recording_json(parts.recording);
    document["stats"] = std::move(stats);
    document["doctor"] = std::move(parts.doctor);
    document["status"] = std::move(parts.status);
    document["map"] = std::move(parts.map);
    document["version"] = std::move(parts.version);
    document["left_out"] = std::move(left_out);
    document["not_known"] = std::move(parts.not_known);
    return document;
}

Result<OrderedJson> parse_report_document(std::string_view text, const std::string& shown) {
    bool too_deep = false;
    const auto within = [&too_deep](int depth, OrderedJson::parse_event_t, OrderedJson&) {
        too_deep |= depth > max_depth;
        return depth <= max_depth;
    };
    OrderedJson document = OrderedJson::parse(text, within, false);
    if (too_deep) return bad_input(fmt::format("{}: the report in it is nested deeper than {}", shown, max_depth));
    if (document.is_discarded()) return bad_input(fmt::format("{}: the report in it is not valid JSON", shown));
    if (text_field(document, "format") != report_format)
        return bad_input(fmt::format("{}: expected \"format\": \"{}\" of the report in it", shown, report_format));
    return document;
}

} // namespace kudo
