// SPDX-License-Identifier: MIT
#include "agent/doctor/report_lines.h"

#include <nlohmann/json.hpp>

namespace kudo {
namespace {

using Json = nlohmann::json;
constexpr std::size_t max_evidence = 200, max_outcomes = 16;

std::string one_text(const Json& line) {
    return line.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
}

std::optional<Json> parsed(std::string_view text, const char* kind) {
    auto line = Json::parse(text, nullptr, false);
    if (!line.is_object() || line.value("kind", Json()) != kind) return std::nullopt;
    return line;
}

} // namespace

std::string report_line(const ReportLine& line) {
    return one_text({{"kind", "report"},
                     {"check", line.check},
                     {"result", static_cast<int>(line.report.result)},
                     {"summary", line.report.summary},
                     {"evidence", line.report.evidence},
                     {"fix", line.report.fix},
                     {"advice", line.report.advice},
                     {"took", line.took.count()}});
}

std::optional<ReportLine> parse_report_line(std::string_view text, Commands commands) {
    const auto line = parsed(text, "report");
    if (!line) return std::nullopt;
    try {
        const int result = line->at("result").get<int>();
        if (result < static_cast<int>(CheckResult::Pass) || result > static_cast<int>(CheckResult::Skip))
            return std::nullopt;
        ReportLine read{.check = line->at("check").get<std::size_t>()};
        read.report.result = static_cast<CheckResult>(result);
        line->at("summary").get_to(read.report.summary);
        line->at("evidence").get_to(read.report.evidence);
        line->at("advice").get_to(read.report.advice);
        if (commands == Commands::Taken) line->at("fix").get_to(read.report.fix);
        read.took = std::chrono::milliseconds(line->at("took").get<int64_t>());
        if (read.report.evidence.size() > max_evidence) read.report.evidence.resize(max_evidence);
        return read;
    } catch (const Json::exception&) {
        return std::nullopt;
    }
}

std::string marks_line(const MarkExchange& exchange) {
    Json outcomes = Json::array();
    for (const MarkOutcome& outcome : exchange.outcomes)
        outcomes.push_back({{"dscp", outcome.dscp},
                            {"sent", outcome.sent},
                            {"answered", outcome.answered},
                            {"rtt", outcome.median_rtt.count()},
                            {"answers", outcome.answers}});
    return one_text({{"kind", "marks"},
                     {"server", exchange.server.text()},
                     {"outcomes", std::move(outcomes)},
                     {"why_not", exchange.why_not}});
}

std::optional<MarkExchange> parse_marks_line(std::string_view text) {
    const auto line = parsed(text, "marks");
    if (!line) return std::nullopt;
    try {
        MarkExchange exchange{.why_not = line->at("why_not").get<std::string>()};
        const auto server = Address::parse(line->at("server").get<std::string>());
        if (!server) return std::nullopt;
        exchange.server = *server;
        for (const Json& each : line->at("outcomes")) {
            if (exchange.outcomes.size() == max_outcomes) return std::nullopt;
            exchange.outcomes.push_back({.dscp = each.at("dscp").get<uint8_t>(),
                                         .sent = each.at("sent").get<unsigned>(),
                                         .answered = each.at("answered").get<unsigned>(),
                                         .median_rtt = std::chrono::microseconds(each.at("rtt").get<int64_t>()),
                                         .answers = each.at("answers").get<std::vector<uint8_t>>()});
        }
        return exchange;
    } catch (const Json::exception&) {
        return std::nullopt;
    }
}

} // namespace kudo
