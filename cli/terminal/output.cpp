// SPDX-License-Identifier: MIT
#include "cli/terminal/output.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace kudo {
namespace {

// Characters, not bytes: those that do not continue a UTF-8 sequence.
std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

} // namespace

Result<void> print(std::string_view text) {
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

bool colour_wanted() {
    const char* no_colour = std::getenv("NO_COLOR"); // no-color.org: present and not empty
    return (!no_colour || !*no_colour) && ::isatty(STDOUT_FILENO) == 1;
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

std::string counted(std::size_t number, std::string_view noun) {
    return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
}

void Table::add(std::vector<std::string> cells, Style style) {
    cells.resize(columns_.size());
    rows_.push_back({std::move(cells), style});
}

std::string Table::line(const Row& row, const std::vector<std::size_t>& widths, bool colour) const {
    std::string result;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        const std::string padding(widths[i] - width(row.cells[i]), ' ');
        if (i > 0) result += "  ";
        result += columns_[i].align == Align::Right ? padding + row.cells[i] : row.cells[i] + padding;
    }
    result.erase(result.find_last_not_of(' ') + 1);
    return paint(result, row.style, colour) + "\n";
}

std::string Table::text(bool colour) const {
    Row titles{{}, Style::Bold};
    for (const Column& column : columns_)
        titles.cells.push_back(column.title);
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        widths.push_back(width(columns_[i].title));
        for (const Row& row : rows_)
            widths[i] = std::max(widths[i], width(row.cells[i]));
    }
    std::string result = line(titles, widths, colour);
    for (const Row& row : rows_)
        result += line(row, widths, colour);
    return result;
}

} // namespace kudo
