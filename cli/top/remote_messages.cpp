// SPDX-License-Identifier: MIT
#include "cli/top/remote_messages.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "maps/base/text.h"

namespace kudo {
namespace {

// Within a line: what follows has this style (a letter of style_letters behind it), or the line is the selected one.
constexpr char style_mark = '\x01', selected_mark = '\x02', line_end = '\n';

constexpr std::array styles = {Style::Plain, Style::Bold, Style::Dim, Style::Red, Style::Green, Style::Yellow};
constexpr std::string_view style_letters = "pbdrgy";

constexpr int last_action = static_cast<int>(Action::Quit);

Error no_picture() {
    return {ErrorKind::Failed, "what the service has drawn cannot be read; are it and this program of one version?",
            EPROTO};
}

Error no_input() {
    return {ErrorKind::BadInput, "what was typed cannot be read", 0};
}

template <std::size_t count> bool read_numbers(std::string_view text, std::array<std::size_t, count>& numbers) {
    const char *at = text.data(), *const end = text.data() + text.size();
    for (std::size_t i = 0; i < count; ++i) {
        if (i > 0 && (at == end || *at++ != ' ')) return false;
        const auto [next, error] = std::from_chars(at, end, numbers[i]);
        if (error != std::errc{}) return false;
        at = next;
    }
    return at == end;
}

std::optional<ScreenSize> read_size(std::string_view text) {
    std::array<std::size_t, 2> numbers{};
    if (!read_numbers(text, numbers)) return std::nullopt;
    const auto [width, height] = numbers;
    if (width < 1 || height < 1 || width > largest_screen.width || height > largest_screen.height) return std::nullopt;
    return ScreenSize{width, height};
}

bool read_line(std::string_view text, Line& line) {
    if (text.starts_with(selected_mark)) {
        line.selected = true;
        text.remove_prefix(1);
    }
    for (const std::string_view span : split(text, style_mark)) {
        if (span.empty()) continue; // before the first
        const auto style = style_letters.find(span.front());
        const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; };
        if (style == std::string_view::npos || std::ranges::any_of(span, is_control)) return false;
        line.spans.push_back({std::string(span.substr(1)), styles[style]});
    }
    return true;
}

} // namespace

std::string write_picture(const Picture& picture) {
    std::string text = fmt::format("{} {}", picture.size.width, picture.size.height);
    for (const Line& line : picture.lines) {
        text += line_end;
        if (line.selected) text += selected_mark;
        for (const Span& span : line.spans) {
            const auto style = std::ranges::find(styles, span.style) - styles.begin();
            text += style_mark;
            text += style_letters[static_cast<std::size_t>(style)];
            text += span.text;
        }
    }
    return text + picture_end;
}

Result<Picture> read_picture(std::string_view text) {
    if (!text.ends_with(picture_end)) return fail(no_picture());
    text.remove_suffix(1);
    const auto lines = split(text, line_end);
    const auto size = read_size(lines.front());
    if (!size || lines.size() > size->height + 1) return fail(no_picture());
    Picture picture{*size, Lines(lines.size() - 1)};
    for (std::size_t i = 1; i < lines.size(); ++i)
        if (!read_line(lines[i], picture.lines[i - 1])) return fail(no_picture());
    return picture;
}

std::string write_input(const TopInput& input) {
    if (const auto* key = std::get_if<TypedKey>(&input))
        return fmt::format("key {} {} {}", static_cast<unsigned char>(key->character),
                           key->action ? static_cast<int>(*key->action) + 1 : 0, key->backspace ? 1 : 0);
    if (const auto* size = std::get_if<ScreenSize>(&input)) return fmt::format("size {} {}", size->width, size->height);
    return "drawn";
}

Result<TopInput> read_input(std::string_view text) {
    constexpr std::string_view key_word = "key ", size_word = "size ";
    if (text == "drawn") return TopInput(Drawn{});
    if (text.starts_with(size_word)) {
        const auto size = read_size(text.substr(size_word.size()));
        if (!size) return fail(no_input());
        return TopInput(*size);
    }
    std::array<std::size_t, 3> numbers{};
    if (!text.starts_with(key_word) || !read_numbers(text.substr(key_word.size()), numbers)) return fail(no_input());
    const auto [character, action, backspace] = numbers;
    const bool is_printable = character == 0 || (character >= ' ' && character <= '~');
    if (!is_printable || action > last_action + 1 || backspace > 1) return fail(no_input());
    TypedKey key{.character = static_cast<char>(character), .action = {}, .backspace = backspace == 1};
    if (action != 0) key.action = static_cast<Action>(action - 1);
    return TopInput(key);
}

} // namespace kudo
