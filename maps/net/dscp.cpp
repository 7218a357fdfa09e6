// SPDX-License-Identifier: MIT
#include "maps/net/dscp.h"

#include <strings.h>

#include <charconv>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

// The first name of a number is the one that is written.
constexpr std::pair<const char*, uint8_t> dscp_names[] = {
    {"CS0", 0},   {"CS1", 8},   {"CS2", 16},  {"CS3", 24},  {"CS4", 32},  {"CS5", 40},  {"CS6", 48},
    {"CS7", 56},  {"AF11", 10}, {"AF12", 12}, {"AF13", 14}, {"AF21", 18}, {"AF22", 20}, {"AF23", 22},
    {"AF31", 26}, {"AF32", 28}, {"AF33", 30}, {"AF41", 34}, {"AF42", 36}, {"AF43", 38}, {"EF", 46},
    {"VA", 44},   {"LE", 1},    {"DF", 0},    {"BE", 0},
};

} // namespace

std::string dscp_name(uint8_t dscp) {
    for (const auto& [name, number] : dscp_names)
        if (number == dscp) return name;
    return fmt::format("{}", dscp);
}

Result<uint8_t> parse_dscp(std::string_view text) {
    constexpr uint32_t highest = 63;
    for (const auto& [name, dscp] : dscp_names)
        if (strcasecmp(name, std::string(text).c_str()) == 0) return dscp;
    const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    const std::string_view digits = text.substr(hexadecimal ? 2 : 0);
    uint32_t value = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, hexadecimal ? 16 : 10);
    if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size() || value > highest)
        return bad_input(fmt::format(
            "{} is not a DSCP; expected CS0 to CS7, AF11 to AF43, EF, VA, LE, 0 to 63, or none", quoted_text(text)));
    return static_cast<uint8_t>(value);
}

} // namespace kudo
