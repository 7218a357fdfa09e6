// SPDX-License-Identifier: MIT
// What terminfo(5) says of the terminal.
#pragma once

#include <string>

#include "maps/base/result.h"

namespace kudo {

// What is written to a terminal when a screen program leaves it: attributes and colours as usual, the cursor shown, its
// own contents back. Errors: BadInput, if standard input or output is no terminal, or one that is not known or cannot
// place the cursor.
Result<std::string> describe_terminal();

} // namespace kudo
