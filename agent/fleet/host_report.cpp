// SPDX-License-Identifier: MIT
#include "agent/fleet/host_report.h"

#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>

#include "agent/inspect/status.h"
#include "agent/system/uptime.h"
#include "maps/base/abi_names.h"
#include "maps/base/text.h"
#include "maps/document/fields.h"

namespace kudo {
namespace {

constexpr std::size_t max_text = 400, max_texts = 24, max_word = 64;
constexpr std::array report_fields{
    Field{"format"},          Field{"host"},           Field{"fleet"},   Field{"ring"},     Field{"serial"},
    Field{"content_hash"},    Field{"mode"},           Field{"health"},  Field{"problems"}, Field{"alarms"},
    Field{"staged"},          Field{"key_set_serial"}, Field{"version"}, Field{"time"},     Field{"machine", false},
    Field{"identity", false}, Field{"booted", false}};
constexpr std::array<Field, 2> staged_fields{{{"serial"}, {"effective"}}};

bool is_printable(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

std::string printable(std::string_view text) {
    std::string result;
    for (const char c : text) {
        std::string piece(1, c);
        if (!is_printable(piece)) piece = fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        if (result.size() + piece.size() > max_text - 3) return result + "...";
        result += piece;
    }
    return result;
}

nlohmann::ordered_json texts_json(const std::vector<std::string>& texts) {
    auto list = nlohmann::ordered_json::array();
    for (const std::string& text : texts) {
        if (list.size() + 1 == max_texts && texts.size() > max_texts) {
            list.push_back(fmt::format("and {} more", texts.size() - list.size()));
            break;
        }
        list.push_back(printable(text));
    }
    return list;
}

Result<std::string> read_word(const Json& root, std::string_view field, bool (*is_valid)(std::string_view),
                              std::string_view expected) {
    auto text = KUDO_TRY(read_text(root, "", field));
    if (!is_valid(text.value)) return wrong(field, fmt::format("{}: {}", quoted_text(text.value), expected));
    return std::move(text.value);
}

Result<uint64_t> read_number(const Json& object, std::string_view path, std::string_view field) {
    constexpr uint64_t largest = std::numeric_limits<int64_t>::max();
    const Json& value = object.at(std::string(field));
    if (!value.is_number_unsigned() || value.get<uint64_t>() > largest)
        return wrong(path_of(path, field), fmt::format("must be a whole number from 0 to {}", largest));
    return value.get<uint64_t>();
}

Result<std::vector<std::string>> read_texts(const Json& root, std::string_view field) {
    auto list = KUDO_TRY(read_list(root, "", field));
    if (list.size() > max_texts)
        return wrong(field, fmt::format("{} are too many; at most {} are expected", list.size(), max_texts));
    std::vector<std::string> texts;
    for (Text& text : list) {
        if (text.value.size() > max_text || !is_printable(text.value))
            return wrong(text.path, fmt::format("must be at most {} characters of printable ASCII", max_text));
        texts.push_back(std::move(text.value));
    }
    return texts;
}

Result<void> read_names(HostReport& report, const Json& root) {
    const auto is_short = [](std::string_view text) { return text.size() <= max_word && is_printable(text); };
    const auto is_hash = [](std::string_view text) {
        return text.size() <= 128 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
    };
    const struct {
        std::string_view field;
        std::string HostReport::*member;
        bool (*is_valid)(std::string_view);
        std::string_view expected;
    } words[] = {
        {"host", &HostReport::host, is_host_name, "expected 1 to 253 of [A-Za-z0-9_.-]"},
        {"fleet", &HostReport::fleet, is_simple_name, "expected 1 to 63 of [a-z0-9-]"},
        {"ring", &HostReport::ring, is_simple_name, "expected 1 to 63 of [a-z0-9-]"},
        {"content_hash", &HostReport::content_hash, is_hash, "expected hexadecimal digits"},
        {"machine", &HostReport::machine, is_hash, "expected hexadecimal digits"},
        {"identity", &HostReport::identity, is_hash, "expected hexadecimal digits"},
        {"mode", &HostReport::mode, [](std::string_view text) { return text.empty() || is_simple_name(text); },
         "expected the name of a mode"},
        {"health", &HostReport::health,
         [](std::string_view text) { return text == health_good || text == health_degraded || text == health_none; },
         "expected \"healthy\", \"degraded\" or \"not enabled\""},
        {"version", &HostReport::version, is_short, "expected at most 64 characters of printable ASCII"},
    };
    for (const auto& word : words) {
        if (!root.contains(word.field)) continue; // what is required was looked for before
        report.*word.member = KUDO_TRY(read_word(root, word.field, word.is_valid, word.expected));
    }
    return {};
}

Result<void> read_staged(HostReport& report, const Json& root) {
    const Json& staged = root.at("staged");
    if (staged.is_null()) return {};
    KUDO_TRY(check_fields(staged, "staged", staged_fields));
    report.staged_serial = KUDO_TRY(read_serial(staged, "staged", "serial"));
    if (staged.at("effective").is_null()) return {};
    report.staged_effective = KUDO_TRY(read_time(staged, "staged", "effective"));
    return {};
}

Result<HostReport> read_report(std::string_view json) {
    if (json.size() > host_report_max_bytes)
        return bad_input(
            fmt::format("{} bytes are too many; a report has at most {}", json.size(), host_report_max_bytes));
    const auto root = KUDO_TRY(read_json(json));
    KUDO_TRY(check_fields(root, "", report_fields));
    KUDO_TRY(read_word(
        root, "format", [](std::string_view text) { return text == host_report_format; },
        fmt::format("expected \"{}\"", host_report_format)));
    HostReport report;
    KUDO_TRY(read_names(report, root));
    for (const auto& [field, member] :
         {std::pair{"serial", &HostReport::serial}, {"key_set_serial", &HostReport::key_set_serial}}) {
        report.*member = KUDO_TRY(read_number(root, "", field));
    }
    for (const auto& [field, member] :
         {std::pair{"problems", &HostReport::problems}, {"alarms", &HostReport::alarms}}) {
        report.*member = KUDO_TRY(read_texts(root, field));
    }
    KUDO_TRY(read_staged(report, root));
    report.time = KUDO_TRY(read_time(root, "", "time"));
    if (root.contains("booted")) report.booted = KUDO_TRY(read_time(root, "", "booted"));
    return report;
}

} // namespace

HostReport report_of(const Status& status, const HostIdentity& identity, std::string_view version) {
    const RangeLedger& ranges = status.desired.ranges;
    HostReport report;
    report.host = identity.host;
    report.fleet = identity.fleet;
    report.ring = identity.ring;
    report.serial = status.serial;
    report.content_hash = status.content_hash;
    report.mode = mode_name(status.generation != 0 ? status.mode : status.desired.mode);
    report.health = !status.desired.enabled ? health_none : is_healthy(status) ? health_good : health_degraded;
    report.problems = texts_of(status.drift);
    if (ranges.rolled_back_from != 0)
        report.problems.push_back(fmt::format("rolled back from {} by its administrator", ranges.rolled_back_from));
    report.alarms = status.alarms;
    if (!ranges.staged.empty()) {
        report.staged_serial = ranges.staged.back().serial;
        report.staged_effective = ranges.staged.back().effective;
    }
    if (ranges.keys) report.key_set_serial = ranges.keys->serial;
    report.version = version;
    report.time = wall_time();
    report.machine = identity.machine.id;
    report.identity = identity.machine.identity;
    report.booted = report.time - read_uptime().since_boot;
    return report;
}

std::string to_json(const HostReport& report) {
    nlohmann::ordered_json staged;
    if (report.staged_serial != 0) {
        staged["serial"] = report.staged_serial;
        staged["effective"] = nullptr;
        if (report.staged_effective) staged["effective"] = rfc3339(*report.staged_effective);
    }
    nlohmann::ordered_json document{{"format", host_report_format},
                                    {"host", report.host},
                                    {"fleet", report.fleet},
                                    {"ring", report.ring},
                                    {"serial", report.serial},
                                    {"content_hash", report.content_hash},
                                    {"mode", report.mode},
                                    {"health", report.health},
                                    {"problems", texts_json(report.problems)},
                                    {"alarms", texts_json(report.alarms)},
                                    {"staged", staged},
                                    {"key_set_serial", report.key_set_serial},
                                    {"version", printable(report.version).substr(0, max_word)},
                                    {"time", rfc3339(report.time)}};
    if (!report.identity.empty()) {
        document["machine"] = report.machine;
        document["identity"] = report.identity;
        document["booted"] = rfc3339(report.booted);
    }
    return document.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

Result<HostReport> parse_host_report(std::string_view json, std::string_view name) {
    return read_report(json).in(name);
}

bool is_host_name(std::string_view text) {
    const bool plain = !text.empty() && text.size() <= 253 && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
               c == '-';
    });
    return plain && !text.starts_with('.') && !text.ends_with('.') && text.find("..") == std::string_view::npos;
}

} // namespace kudo
