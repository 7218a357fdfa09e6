// SPDX-License-Identifier: MIT
// How a command answers: on standard output, whole, aligned, coloured on a terminal only; and by its exit status.
// Invariant: output that could not be written is an Error, never silence and never a signal.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/terminal/json.h"
#include "maps/base/result.h"

namespace kudo {

// Exit statuses that are not errors (DESIGN: command line).
inline constexpr int exit_done = 0, exit_bad_input = 2, exit_not_enabled = 3, exit_degraded = 4;

// Standard output of somebody else, for whom this process does what it does.
struct OutputElsewhere {
    std::function<Result<void>(std::string_view)> write;
    bool colour = false, screen = false;
    std::size_t width = 80;
};
// From now on all of this file means that one.
void send_output_elsewhere(OutputElsewhere elsewhere);

// Writes all of the text to standard output.
Result<void> print(std::string_view text);
// One document and a newline; indented, or in one line.
Result<void> print_json(const OrderedJson& document, bool one_line = false);
// Either of both, as --json says.
Result<void> print_either(bool json, const OrderedJson& document, std::string_view text);

enum class Style { Plain = 0, Bold = 1, Dim = 2, Red = 31, Green = 32, Yellow = 33 }; // ECMA-48, SGR

// Standard output is a terminal.
bool is_screen();
// It is, and NO_COLOR is not set.
bool colour_wanted();
std::string paint(std::string_view text, Style style, bool colour);

// The message as one printable line: control characters are escaped.
std::string one_line(std::string_view text);

// For an optional cell: "-" where there is nothing.
std::string text_or_dash(std::string text);

enum class Align { Left, Right };

// In how many characters a line is to fit: the terminal's columns; COLUMNS where that is set or output is no terminal,
// 80 without it.
std::size_t output_width();

// Of UTF-8.
std::size_t characters(std::string_view text);
// At most so many characters, at least one; the last of them an ellipsis if some are missing.
std::string cut(const std::string& text, std::size_t width);

// The text in lines of at most `width` characters, broken at spaces; lines after the first are indented by `indent`.
// The first one begins in column `begin`, behind what is there already.
std::string wrapped(std::string_view text, std::size_t width, std::size_t indent = 0, std::size_t begin = 0);
// Lines of prose, some of them behind a name ("  mode        enforce"), as they are to stand on a terminal: those that
// are wider are broken at spaces. Where output goes elsewhere each stays one line, unless COLUMNS is set.
std::string fitted(const std::string& text);

inline constexpr int always = 0; // Column::yields
struct Column {
    std::string title;
    Align align = Align::Left;
    int yields = always; // where the line does not fit, columns with the highest number are left out first
};

// Rows of cells under titles, two spaces between columns. Widths are counted in characters, not bytes.
class Table {
public:
    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
    // As many cells as there are columns; missing ones are empty.
    void add(std::vector<std::string> cells, Style style = Style::Plain);
    [[nodiscard]] bool empty() const { return rows_.empty(); }
    // No line is wider than `width`: columns yield by their number; if that is not enough, cells of the widest
    // left-aligned column are cut, which an ellipsis shows.
    [[nodiscard]] std::string text(bool colour, std::size_t width = SIZE_MAX) const;

private:
    struct Row {
        std::vector<std::string> cells;
        Style style;
    };
    // What is shown of each column, in characters; 0: nothing.
    [[nodiscard]] std::vector<std::size_t> widths_within(std::size_t width) const;
    [[nodiscard]] std::string line(const Row& row, const std::vector<std::size_t>& widths, bool colour) const;

    std::vector<Column> columns_;
    std::vector<Row> rows_;
};

} // namespace kudo
