// SPDX-License-Identifier: MIT
#include "cli/report/words.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "agent/diagnosis/findings.h"
#include "cli/report/fields.h"
#include "cli/terminal/units.h"

namespace kudo {
namespace {

uint64_t whole(double number) {
    constexpr double most = 1e18;
    return number > 0 && number < most ? static_cast<uint64_t>(number) : 0;
}

std::string milliseconds_words(double time) {
    return time < 10 ? fmt::format("{:.1f} ms", time) : fmt::format("{:.0f} ms", time);
}

} // namespace

std::string result_words(std::string_view result) {
    if (result == "not_met") return "not met";
    if (result == "not_known") return "not known";
    return std::string(result);
}

std::string confidence_words(const OrderedJson& answer) {
    const std::string confidence = text_field(answer, "confidence");
    if (text_field(answer, "where") == "none")
        return "Certain of what reached this host and of what it did with it; not of what is lost behind it.";
    if (confidence == "certain") return "Certain that it is lost there: it was counted where it happened.";
    if (confidence == "likely") return "Likely: of all that was seen this explains it best.";
    if (confidence == "possible") return "Possible: other causes would look the same from this host.";
    return "";
}

std::string time_words(const std::string& time) {
    const std::size_t seconds = std::string_view("2022-03-01T12:00:00").size();
    if (time.size() < seconds || time[10] != 'T') return time;
    return time.substr(0, 10) + " " + time.substr(11, 8) + " UTC";
}

std::string_view answer_kind(const OrderedJson& document) {
    const OrderedJson& answer = field(document, "answer");
    if (!text_field(answer, "who").empty()) return "bad";
    return text_field(answer, "where") == "none" ? "good" : "unknown";
}

std::string flow_loss_words(const OrderedJson& flow) {
    double expected = 0, lost = 0;
    for (const OrderedJson& stream : list_field(field(flow, "network"), "streams")) {
        if (text_field(stream, "direction") != "ingress") continue;
        expected += number_field(stream, "expected");
        lost += missing_packets(stream);
    }
    if (expected <= 0) return "-";
    return fmt::format("{} of {} ({})", whole(lost), whole(expected), percent_text(lost / expected));
}

std::string flow_rtt_words(const OrderedJson& flow) {
    const OrderedJson& network = field(flow, "network");
    if (has_number(field(network, "rtt_ms"), "p50"))
        return milliseconds_words(number_field(field(network, "rtt_ms"), "p50"));
    if (has_number(field(network, "tcp"), "rtt_ms"))
        return milliseconds_words(number_field(field(network, "tcp"), "rtt_ms"));
    return "-";
}

std::string process_words(const OrderedJson& flow) {
    const std::string name = text_field(field(flow, "process"), "name");
    return name.empty() ? "-" : name;
}

std::string end_words(const OrderedJson& flow, const char* address, const char* port) {
    std::string text = text_field(flow, address);
    const std::string number = text_field(flow, port);
    if (number.empty()) return text;
    return text.find(':') == std::string::npos ? text + ":" + number : "[" + text + "]:" + number;
}

std::string counter_words(const OrderedJson& counter) {
    return fmt::format("{}, {}", count_text(whole(number_field(counter, "packets"))),
                       bytes_text(whole(number_field(counter, "bytes"))));
}

std::vector<std::string> sentences(const OrderedJson& list) {
    std::vector<std::string> result;
    if (list.is_array())
        for (const OrderedJson& sentence : list)
            if (sentence.is_string()) result.push_back(sentence.get<std::string>());
    return result;
}

std::string signature_words(const OrderedJson& map) {
    if (!map.is_object()) return "";
    const auto keys = sentences(field(map, "signed_by"));
    if (!keys.empty()) return fmt::format("signed by {}; verified when it was accepted", fmt::join(keys, ", "));
    if (is_true(map, "built_in")) return "none of its own: the map is built into kudo-agent";
    return "none: accepted by this host's administrator";
}

} // namespace kudo
