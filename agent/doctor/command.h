// SPDX-License-Identifier: MIT
// Commands for a shell of this host, with names in them that others have given: of interfaces, tables, chains.
// Invariant: such a name is one word of the command, whatever is in it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kudo {

// As one word for sh(1): as it is, or in single quotes.
std::string shell_quoted(std::string_view word);

// The words, quoted, with blanks between them. Empty where one has control characters or other than ASCII: it might not
// be what is copied from a terminal.
std::string shell_command(const std::vector<std::string>& words);

// "one && other"; an empty one adds nothing.
void add_command(std::string& commands, const std::string& command);

} // namespace kudo
