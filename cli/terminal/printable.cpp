// SPDX-License-Identifier: MIT
#include "cli/terminal/printable.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include <fmt/format.h>

namespace kudo {
namespace {

struct Character {
    char32_t code = 0;
    std::size_t bytes = 0; // 0: no UTF-8 (RFC 3629 section 4: no overlong form, no surrogate)
};

Character first_character(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80) return {lead, 1};
    const std::size_t bytes = lead >= 0xc2 && lead <= 0xdf ? 2 : (lead & 0xf0) == 0xe0 ? 3 : 0; // more is never shown
    if (bytes == 0 || text.size() < bytes) return {};
    char32_t code = lead & (bytes == 2 ? 0x1f : 0x0f);
    for (std::size_t i = 1; i < bytes; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return {};
        code = code << 6 | (byte(i) & 0x3f);
    }
    if (bytes == 3 && (code < 0x800 || (code >= 0xd800 && code <= 0xdfff))) return {};
    return {code, bytes};
}

// Of one column in every terminal and font: few, but what names and our own texts are written with.
bool takes_one_column(char32_t code) {
    constexpr std::array<std::pair<char32_t, char32_t>, 8> ranges = {{
        {0x20, 0x7e},
        {0xa1, 0xac},     // Latin-1 without the soft hyphen
        {0xae, 0x24f},    // Latin
        {0x391, 0x3c9},   // Greek
        {0x400, 0x481},   // Cyrillic
        {0x2010, 0x2027}, // dashes, quotes, the ellipsis
        {0x2190, 0x2193}, // arrows
        {0x2581, 0x2588}, // lower blocks
    }};
    return std::ranges::any_of(ranges,
                               [code](const auto& range) { return code >= range.first && code <= range.second; });
}

char ascii_of(char32_t code) {
    constexpr std::string_view blocks = "_.-=+*#@"; // as tall as eight lower blocks are
    if (code < 0x80) return static_cast<char>(code);
    if (code >= 0x2581 && code <= 0x2588) return blocks[code - 0x2581];
    if (code >= 0x2010 && code <= 0x2015) return '-';
    if (code == 0x2018 || code == 0x2019) return '\'';
    if (code == 0x201c || code == 0x201d) return '"';
    if (code == 0x2026) return '~';
    if (code == 0x2190) return '<';
    if (code == 0x2191) return '^';
    if (code == 0x2193) return 'v';
    if (code == 0x2192) return '>';
    return '?';
}

} // namespace

std::string printable(std::string_view text) {
    std::string result;
    while (!text.empty()) {
        const auto [code, bytes] = first_character(text);
        if (bytes != 0 && takes_one_column(code))
            result += text.substr(0, bytes);
        else // byte by byte: what follows a broken sequence may be whole
            result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
        text.remove_prefix(bytes != 0 && takes_one_column(code) ? bytes : 1);
    }
    return result;
}

std::string in_columns(const std::string& text, std::size_t width, Align align) {
    if (width == 0) return "";
    const std::string shown = cut(text, width);
    const std::string padding(width - characters(shown), ' ');
    return align == Align::Right ? padding + shown : shown + padding;
}

std::string in_ascii(std::string_view printable) {
    std::string result;
    while (!printable.empty()) {
        const auto [code, bytes] = first_character(printable);
        result += bytes == 0 ? '?' : ascii_of(code);
        printable.remove_prefix(std::max<std::size_t>(bytes, 1));
    }
    return result;
}

} // namespace kudo
