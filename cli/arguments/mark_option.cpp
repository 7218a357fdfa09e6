// SPDX-License-Identifier: MIT
#include "cli/arguments/mark_option.h"

#include <charconv>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "maps/base/abi_names.h"
#include "maps/base/text.h"
#include "maps/net/dscp.h"

namespace kudo {
namespace {

std::optional<uint32_t> number(std::string_view text) {
    const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    if (hexadecimal) text.remove_prefix(2);
    uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, hexadecimal ? 16 : 10);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// The treatments that a class name stands for; empty: there is no such class.
std::vector<kudo_treatment> treatments_of(std::string_view name) {
    if (name == "media") return {KUDO_TREATMENT_AUDIO, KUDO_TREATMENT_VIDEO};
    for (int i = 0; i < KUDO_TREATMENTS; ++i) {
        const auto treatment = static_cast<kudo_treatment>(i);
        if (name == treatment_name(treatment)) return {treatment};
    }
    return {};
}

// The value of "dscp:AF41" or "priority:6".
Result<void> set_part(kudo_mark& mark, unsigned flag, std::string_view value) {
    constexpr uint32_t max_priority = 15;
    mark.flags = static_cast<__u8>(mark.flags | flag);
    if (flag == KUDO_MARK_DSCP) {
        mark.dscp = KUDO_TRY(parse_dscp(value));
        // The precedence that an unmarked packet has: see bpf/mark.h.
        if (mark.dscp < 8)
            return bad_input(
                fmt::format("dscp:{}: a DSCP below 8 (CS1) never exceeds a packet's own; write none", value));
        return {};
    }
    const auto priority = number(value);
    if (!priority || *priority > max_priority)
        return bad_input(fmt::format("{} is not a priority; expected 0 to 15, or none", quoted_text(value)));
    mark.priority = *priority;
    return {};
}

Result<void> set_mark(kudo_mark& mark, std::string_view spec) {
    if (spec == "none") {
        mark = kudo_mark{};
        return {};
    }
    unsigned seen = 0;
    for (const std::string_view part : split(spec)) {
        const auto colon = part.find(':');
        const std::string_view key = part.substr(0, colon);
        const unsigned flag = key == "dscp" ? KUDO_MARK_DSCP : key == "priority" ? KUDO_MARK_PRIORITY : 0;
        if (colon == std::string_view::npos || flag == 0)
            return bad_input(
                fmt::format("{} is not a mark; expected none, dscp:NAME or priority:N", quoted_text(part)));
        if (seen & flag) return bad_input(fmt::format("{} is given twice", key));
        seen |= flag;
        mark.flags = static_cast<__u8>(mark.flags & ~flag);
        if (flag == KUDO_MARK_DSCP)
            mark.dscp = 0;
        else
            mark.priority = 0;
        if (const auto value = part.substr(colon + 1); value != "none") KUDO_TRY(set_part(mark, flag, value));
    }
    return {};
}

} // namespace

Result<Marks> parse_marks(const std::vector<std::string>& specs) {
    auto marks = default_marks();
    std::set<kudo_treatment> seen;
    for (const std::string& text : specs) {
        const auto equals = text.find('=');
        const std::string_view name = std::string_view(text).substr(0, equals);
        const auto treatments = equals == std::string::npos ? std::vector<kudo_treatment>{} : treatments_of(name);
        if (treatments.empty())
            return bad_input(fmt::format("{}: begin with media=, audio=, video=, fallback= or control=, for "
                                         "example audio=dscp:EF,priority:6",
                                         quoted_text(text)));
        for (const kudo_treatment treatment : treatments) {
            if (!seen.insert(treatment).second)
                return bad_input(fmt::format("{}: {} is given twice", quoted_text(text), name));
            KUDO_TRY(set_mark(marks[treatment], std::string_view(text).substr(equals + 1)).in(quoted_text(text)));
        }
    }
    return marks;
}

std::string mark_text(const kudo_mark& mark) {
    std::string text;
    if (mark.flags & KUDO_MARK_DSCP) text = "DSCP " + dscp_name(mark.dscp);
    if (mark.flags & KUDO_MARK_PRIORITY) text += fmt::format("{}priority {}", text.empty() ? "" : ", ", mark.priority);
    return text.empty() ? "unmarked" : text;
}

Result<FirewallMark> parse_firewall_mark(std::string_view text) {
    if (text == "none") return FirewallMark{};
    const auto slash = text.find('/');
    const auto value = number(text.substr(0, slash));
    const auto mask = slash == std::string_view::npos ? value : number(text.substr(slash + 1));
    const std::string where = quoted_text(text);
    if (!value || !mask)
        return bad_input(where + ": expected VALUE or VALUE/MASK, hexadecimal as 0x10 or decimal, or none");
    if (*value == 0) return bad_input(where + ": a value of 0 marks nothing; write none to leave the mark unchanged");
    if (*value & ~*mask)
        return bad_input(
            fmt::format("{}: the value has bits outside its mask; write {:#x}/{:#x}", where, *value, *value | *mask));
    return FirewallMark{*value, *mask};
}

std::string firewall_mark_text(FirewallMark mark) {
    return mark.mask ? fmt::format("{:#x}/{:#x}", mark.value, mark.mask) : "none";
}

} // namespace kudo
