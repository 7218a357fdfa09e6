// SPDX-License-Identifier: MIT
#include "agent/queues/spec.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

// tc's units (tc(8), PARAMETERS): k, m, g or t, with i of 1024 instead of 1000; then bit, or bps for bytes.
std::optional<double> bits_of_unit(std::string_view unit) {
    double factor = 1;
    if (const auto power = std::string_view("kmgt").find(unit.substr(0, 1)); !unit.empty() && power < 4) {
        const bool binary = unit.substr(1, 1) == "i";
        factor = std::pow(binary ? 1024 : 1000, static_cast<double>(power + 1));
        unit.remove_prefix(binary ? 2 : 1);
        if (unit.empty()) return std::nullopt;
    }
    if (unit == "bps") return 8 * factor;
    return unit.empty() || unit == "bit" ? std::optional(factor) : std::nullopt;
}

constexpr double min_rate = 64e3, max_rate = 100e9;

std::string lower(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
    return result;
}

constexpr std::string_view auto_rate = "auto-rate";

// `expected`: what else it may be, for people.
Result<uint64_t> parse_rate(std::string_view text, std::string_view expected) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    const std::string name = lower({end, static_cast<std::size_t>(text.data() + text.size() - end)});
    const auto unit = bits_of_unit(name);
    if (text.empty() || error != std::errc{} || !unit)
        return bad_input(
            fmt::format("{} is not a rate; write 20mbit, 2.5gbit (tc's units){}", quoted_text(text), expected));
    const double bits = number * *unit;
    if (!(bits >= min_rate && bits <= max_rate))
        return bad_input(fmt::format("{}: a rate from 64kbit to 100gbit is expected{}", quoted_text(text),
                                     name.empty() ? "; a bare number is bits per second, write 20mbit" : ""));
    return static_cast<uint64_t>(std::llround(bits));
}

Result<ShaperSpec> parse_auto_rate(std::string_view text) {
    const std::string_view bounds = text.substr(std::min(auto_rate.size() + 1, text.size()));
    const std::size_t dash = bounds.find('-');
    if (dash == std::string_view::npos)
        return bad_input(fmt::format("{}: the least and the most that the line carries are expected, as in "
                                     "auto-rate:2mbit-50mbit",
                                     quoted_text(text)));
    const uint64_t min = KUDO_TRY(parse_rate(bounds.substr(0, dash), ""));
    const uint64_t max = KUDO_TRY(parse_rate(bounds.substr(dash + 1), ""));
    if (min >= max) return bad_input(fmt::format("{}: the first rate must be below the second", quoted_text(text)));
    return ShaperSpec{ShaperSpec::Kind::AutoRate, max, {min, max}};
}

} // namespace

std::string_view queue_kind_name(QueueKind kind) {
    static constexpr std::string_view names[] = {"cake", "htb", "prio", "pfifo_fast"};
    return names[static_cast<std::size_t>(kind)];
}

std::optional<QueueKind> queue_kind_of(std::string_view name) {
    for (const QueueKind kind : queue_kinds)
        if (queue_kind_name(kind) == name) return kind;
    return std::nullopt;
}

Result<ShaperSpec> parse_line(std::string_view text) {
    if (text == "off") return ShaperSpec{ShaperSpec::Kind::Off, 0};
    if (text == "auto") return ShaperSpec{ShaperSpec::Kind::Auto, 0};
    if (text == auto_rate || text.starts_with("auto-rate:")) return parse_auto_rate(text);
    const uint64_t rate = KUDO_TRY(parse_rate(text, ", auto-rate:MIN-MAX, auto or off"));
    return ShaperSpec{ShaperSpec::Kind::Rate, rate};
}

std::string line_text(const ShaperSpec& line) {
    switch (line.kind) {
    case ShaperSpec::Kind::Rate:
        return fmt::format("{}bit", line.bits_per_second);
    case ShaperSpec::Kind::AutoRate:
        return fmt::format("auto-rate:{}bit-{}bit", line.bounds.min, line.bounds.max);
    case ShaperSpec::Kind::Off:
        return "off";
    case ShaperSpec::Kind::Auto:
        break;
    }
    return "auto";
}

std::string rate_text(uint64_t bits_per_second) {
    const auto bits = static_cast<double>(bits_per_second);
    if (bits >= 1e9) return fmt::format("{:.4g} Gbit/s", bits / 1e9);
    if (bits >= 1e6) return fmt::format("{:.4g} Mbit/s", bits / 1e6);
    return fmt::format("{:.4g} kbit/s", bits / 1e3);
}

} // namespace kudo
