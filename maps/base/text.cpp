// SPDX-License-Identifier: MIT
#include "maps/base/text.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace kudo {

std::string escaped(std::string_view text, std::size_t longest) {
    std::string result;
    for (const char character : text.substr(0, longest)) {
        if (character == '"' || character == '\\')
            (result += '\\') += character;
        else if (character >= ' ' && character <= '~')
            result += character;
        else
            result += fmt::format("\\x{:02x}", static_cast<unsigned char>(character));
    }
    return text.size() > longest ? result + "..." : result;
}

std::string quoted_text(std::string_view text) {
    return '"' + escaped(text, 80) + '"';
}

std::string joined(std::span<const std::string> parts) {
    return fmt::format("{}", fmt::join(parts, ", "));
}

std::string hex(std::span<const unsigned char> bytes) {
    std::string result;
    result.reserve(bytes.size() * 2);
    for (const unsigned char byte : bytes)
        result += fmt::format("{:02x}", byte);
    return result;
}

bool is_simple_name(std::string_view text) {
    return !text.empty() && text.size() <= 63 && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
}

} // namespace kudo
