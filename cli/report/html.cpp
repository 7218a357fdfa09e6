// SPDX-License-Identifier: MIT
#include "cli/report/html.h"

#include <fmt/format.h>

namespace kudo {
namespace {

// U+202A to U+202E, U+2066 to U+2069, U+200E, U+200F: they change the order of what is around them.
bool is_direction_mark(std::string_view three_bytes) {
    if (three_bytes.size() < 3 || three_bytes[0] != '\xe2') return false;
    const auto second = static_cast<unsigned char>(three_bytes[1]), third = static_cast<unsigned char>(three_bytes[2]);
    return (second == 0x80 && ((third >= 0xaa && third <= 0xae) || third == 0x8e || third == 0x8f)) ||
           (second == 0x81 && third >= 0xa6 && third <= 0xa9);
}

} // namespace

std::string html(std::string_view text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (is_direction_mark(text.substr(i, 3))) {
            const unsigned code = (static_cast<unsigned char>(text[i + 1]) & 0x3fU) << 6 |
                                  (static_cast<unsigned char>(text[i + 2]) & 0x3fU) | 0x2000U;
            result += fmt::format("\\u{:04x}", code);
            i += 2;
        } else if (c == '&')
            result += "&amp;";
        else if (c == '<')
            result += "&lt;";
        else if (c == '>')
            result += "&gt;";
        else if (c == '"')
            result += "&quot;";
        else if (c == '\'')
            result += "&#39;";
        else if ((static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f)
            result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        else
            result += c;
    }
    return result;
}

std::string json_for_page(std::string_view json) {
    // They can only be within strings.
    std::string result;
    for (const char c : json)
        if (c == '<' || c == '>' || c == '&')
            result += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
        else
            result += c;
    return result;
}

std::string filled_in(std::string_view page, const std::map<std::string, std::string>& values) {
    std::string result;
    while (true) {
        const std::size_t begin = page.find("{{"), end = page.find("}}", begin);
        if (begin == std::string_view::npos || end == std::string_view::npos) return result.append(page);
        result.append(page.substr(0, begin));
        const auto value = values.find(std::string(page.substr(begin + 2, end - begin - 2)));
        if (value != values.end()) result += value->second;
        page.remove_prefix(end + 2);
    }
}

} // namespace kudo
