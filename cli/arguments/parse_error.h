// SPDX-License-Identifier: MIT
// What CLI11 found wrong, in the project's words.
// Invariant: one line that names the word or option and what was expected.
#pragma once

#include "maps/base/result.h"

namespace CLI {
class App;
class ParseError;
} // namespace CLI

namespace kudo {

// A BadInput error for the exception that app.parse() has thrown.
Error error_of(const CLI::App& app, const CLI::ParseError& error);

} // namespace kudo
