// SPDX-License-Identifier: MIT
// What CLI11 found wrong, in the project's words.
// Invariant: one line that names the word or option and what was expected.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "maps/base/result.h"

namespace CLI {
class App;
class ParseError;
} // namespace CLI

namespace kudo {

// A BadInput error for the exception that app.parse() has thrown.
Error error_of(const CLI::App& app, const CLI::ParseError& error);

// "; did you mean NAME?" with the nearest of `known`, or `otherwise` if the word is far from all.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known, const std::string& otherwise);
std::vector<std::string> command_names(const CLI::App& app);
// ": this kudo-agent was built without ..." if the option or command (its name without dashes) is one of a part that
// this build lacks; else empty.
std::string lacking_feature(std::string_view name);

} // namespace kudo
