// SPDX-License-Identifier: MIT
// Lines of a screen, before they are drawn.
#pragma once

#include <string>
#include <vector>

#include "cli/terminal/output.h"

namespace kudo {

// Each character takes one column: see printable().
struct Span {
    std::string text;
    Style style = Style::Plain;
};
struct Line {
    std::vector<Span> spans{};
    bool selected = false; // drawn in reverse, in its whole width
};
using Lines = std::vector<Line>;

} // namespace kudo
