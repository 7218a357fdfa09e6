// SPDX-License-Identifier: MIT
// What CLI11 found wrong, in the project's words.
// Invariant: one line that names the word or option and what was expected.
#pragma once

#include <CLI/App.hpp>

#include "maps/base/result.h"

namespace kudo {

// Was --help given for the program or the command, whatever else is wrong?
bool is_help_wanted(const CLI::App& app);

// A BadInput error for the exception that app.parse() has thrown.
Error error_of(const CLI::App& app, const CLI::ParseError& error);

} // namespace kudo
