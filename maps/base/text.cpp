// SPDX-License-Identifier: MIT
#include "maps/base/text.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace kudo {

std::string escaped(std::string_view text, std::size_t max_length) {
    std::string result;
    for (const char character : text.substr(0, max_length)) {
        if (character == '"' || character == '\\')
            (result += '\\') += character;
        else if (character >= ' ' && character <= '~')
            result += character;
        else
            result += fmt::format("\\x{:02x}", static_cast<unsigned char>(character));
    }
    return text.size() > max_length ? result + "..." : result;
}

std::string quoted_text(std::string_view text) {
    return '"' + escaped(text, 80) + '"';
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (true) {
        const std::size_t end = text.find(separator);
        parts.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

std::string joined(std::span<const std::string> parts) {
    return fmt::format("{}", fmt::join(parts, ", "));
}

void add_clause(std::string& text, std::string_view clause) {
    if (!text.empty()) text += "; ";
    text += clause;
}

std::string counted(std::size_t number, std::string_view noun) {
    return std::to_string(number) + " " + std::string(noun) + (number == 1 ? "" : "s");
}

std::string hex(std::span<const unsigned char> bytes) {
    return fmt::format("{:02x}", fmt::join(bytes, ""));
}

bool is_simple_name(std::string_view text) {
    return !text.empty() && text.size() <= 63 && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
}

} // namespace kudo
