// SPDX-License-Identifier: MIT
#include "cli/terminal/output.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace kudo {
namespace {

std::optional<OutputElsewhere>& elsewhere() {
    static std::optional<OutputElsewhere> output;
    return output;
}

// Characters, not bytes: those that do not continue a UTF-8 sequence.
bool begins_character(char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
}

// What paint() has put into the line.
std::size_t colour_characters(std::string_view line) {
    std::size_t count = 0;
    for (std::size_t at = 0; (at = line.find("\x1b[", at)) != std::string_view::npos;) {
        const std::size_t end = std::min(line.find('m', at), line.size() - 1) + 1;
        count += end - at;
        at = end;
    }
    return count;
}

} // namespace

std::size_t characters(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, begins_character));
}

std::string cut(const std::string& text, std::size_t width) {
    if (characters(text) <= width) return text;
    std::size_t end = 0;
    for (std::size_t left = width; end < text.size(); ++end)
        if (begins_character(text[end]) && left-- == 1) break;
    return text.substr(0, end) + "…";
}

void send_output_elsewhere(OutputElsewhere output) {
    elsewhere() = std::move(output);
}

Result<void> print(std::string_view text) {
    if (elsewhere()) return elsewhere()->write(text);
    while (!text.empty()) {
        const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return fail_errno("cannot write to standard output");
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

Result<void> print_json(const OrderedJson& document, bool one_line) {
    return print(json_text(document, one_line) + "\n");
}

Result<void> print_either(bool json, const OrderedJson& document, std::string_view text) {
    return json ? print_json(document) : print(text);
}

std::size_t output_width() {
    if (elsewhere()) return elsewhere()->width;
    constexpr std::size_t usual = 80, narrowest = 40;
    if (const char* columns = std::getenv("COLUMNS")) {
        std::size_t number = 0;
        const std::string_view text = columns;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error == std::errc{} && end == text.data() + text.size() && number >= narrowest) return number;
    }
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= narrowest) return size.ws_col;
    return usual;
}

std::string wrapped(std::string_view text, std::size_t width, std::size_t indent, std::size_t begin) {
    std::string result;
    std::size_t column = begin; // characters of the current line
    bool first = true;          // word of it
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        const std::string_view word = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const std::size_t length = characters(word);
        if (!first && column + 1 + length > width) {
            result += "\n" + std::string(indent, ' ');
            column = indent;
        } else if (!first) {
            result += ' ';
            ++column;
        }
        first = false;
        result += word;
        column += length;
    }
    return result;
}

std::string fitted(const std::string& text) {
    if (!is_screen() && (elsewhere() || !std::getenv("COLUMNS"))) return text;
    constexpr std::size_t behind_name = 14; // "  mode        "
    const std::size_t width = output_width();
    std::string result;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const std::size_t colours = colour_characters(line); // which wrapped() takes for words
        const bool is_named = line.size() > behind_name && line.starts_with("  ") && line[2] != ' ' &&
                              line[behind_name - 1] == ' ' && line[behind_name] != ' ';
        result += characters(line) <= width + colours ? line
                                                      : wrapped(line, width + colours,
                                                                is_named                ? behind_name
                                                                : line.starts_with(' ') ? 4
                                                                                        : 2);
        result += '\n';
    }
    return result;
}

bool is_screen() {
    return elsewhere() ? elsewhere()->screen : ::isatty(STDOUT_FILENO) == 1;
}

bool colour_wanted() {
    if (elsewhere()) return elsewhere()->colour;
    const char* no_colour = std::getenv("NO_COLOR"); // no-color.org: present and not empty
    return (!no_colour || !*no_colour) && is_screen();
}

std::string paint(std::string_view text, Style style, bool colour) {
    if (!colour || style == Style::Plain) return std::string(text);
    return fmt::format("\x1b[{}m{}\x1b[0m", static_cast<int>(style), text);
}

std::string one_line(std::string_view text) {
    std::string result;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < ' ' || byte == 0x7f)
            result += fmt::format("\\x{:02x}", byte);
        else
            result += c;
    }
    return result;
}

std::string text_or_dash(std::string text) {
    return text.empty() ? "-" : std::move(text);
}

void Table::add(std::vector<std::string> cells, Style style) {
    cells.resize(columns_.size());
    rows_.push_back({std::move(cells), style});
}

std::vector<std::size_t> Table::widths_within(std::size_t width) const {
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        widths.push_back(std::max<std::size_t>(1, characters(columns_[i].title)));
        for (const Row& row : rows_)
            widths[i] = std::max(widths[i], characters(row.cells[i]));
    }
    const auto total = [&] {
        const auto shown = widths.size() - static_cast<std::size_t>(std::ranges::count(widths, std::size_t{0}));
        return std::accumulate(widths.begin(), widths.end(), std::size_t{0}) +
               2 * (std::max<std::size_t>(shown, 1) - 1);
    };
    while (total() > width) {
        std::size_t first = columns_.size(); // to yield: the last of those with the highest number
        for (std::size_t i = 0; i < columns_.size(); ++i)
            if (widths[i] != 0 && columns_[i].yields != always &&
                (first == columns_.size() || columns_[i].yields >= columns_[first].yields))
                first = i;
        if (first == columns_.size()) break;
        widths[first] = 0;
    }
    constexpr std::size_t least = 8; // of a cut column
    while (total() > width) {
        std::size_t widest = columns_.size();
        for (std::size_t i = 0; i < columns_.size(); ++i)
            if (columns_[i].align == Align::Left && widths[i] > least &&
                (widest == columns_.size() || widths[i] > widths[widest]))
                widest = i;
        if (widest == columns_.size()) break;
        widths[widest] = std::max(least, widths[widest] - std::min(widths[widest], total() - width));
    }
    return widths;
}

std::string Table::line(const Row& row, const std::vector<std::size_t>& widths, bool colour) const {
    std::string result;
    bool first = true;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        if (widths[i] == 0) continue;
        if (!std::exchange(first, false)) result += "  ";
        const std::string cell = cut(row.cells[i], widths[i]);
        const std::string padding(widths[i] - characters(cell), ' ');
        result += columns_[i].align == Align::Right ? padding + cell : cell + padding;
    }
    result.erase(result.find_last_not_of(' ') + 1);
    return paint(result, row.style, colour) + "\n";
}

std::string Table::text(bool colour, std::size_t width) const {
    Row titles{{}, Style::Bold};
    for (const Column& column : columns_)
        titles.cells.push_back(column.title);
    const std::vector<std::size_t> widths = widths_within(width);
    std::string result = line(titles, widths, colour);
    for (const Row& row : rows_)
        result += line(row, widths, colour);
    return result;
}

} // namespace kudo
