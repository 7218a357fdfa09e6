// SPDX-License-Identifier: MIT
#include "cli/arguments/parse_error.h"

#include <algorithm>
#include <numeric>

#include <CLI/App.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace kudo {
namespace {

// The command that was named last, or the program itself.
const CLI::App& innermost(const CLI::App& app) {
    const auto named = app.get_subcommands();
    return named.empty() ? app : innermost(*named.back());
}

std::string full_name(const CLI::App& app) {
    return app.get_parent() ? full_name(*app.get_parent()) + " " + app.get_name() : app.get_name();
}

// Long names of the options that the command and the program take.
std::vector<std::string> option_names(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::App* at = &app; at; at = at->get_parent())
        for (const CLI::Option* option : at->get_options())
            for (const std::string& name : option->get_lnames())
                names.push_back("--" + name);
    return names;
}

// Insertions, deletions and replacements that lead from a to b (Levenshtein).
std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), 0);
    for (const char letter : a) {
        std::size_t diagonal = row[0]++;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t replaced = diagonal + (letter == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({row[j] + 1, diagonal + 1, replaced});
        }
    }
    return row.back();
}

std::string unexpected_word(const CLI::App& command, const std::string& word, const std::string& see_help) {
    if (word.size() > 1 && word.front() == '-') {
        const std::string name = word.substr(0, word.find('='));
        if (const auto lacking = lacking_feature(name.substr(std::min(name.find_first_not_of('-'), name.size())));
            !lacking.empty())
            return name + lacking;
        return "unknown option " + name + did_you_mean(name, option_names(command), see_help);
    }
    if (const auto lacking = lacking_feature(word); !lacking.empty()) return word + lacking;
    const auto names = command_names(command);
    if (names.empty()) return fmt::format("unexpected argument \"{}\"{}", word, see_help);
    return fmt::format("unknown command \"{}\"{}", word,
                       did_you_mean(word, names, fmt::format("; the commands are {}", fmt::join(names, ", "))));
}

} // namespace

std::vector<std::string> command_names(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
        names.push_back(command->get_name());
    return names;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known, const std::string& otherwise) {
    constexpr std::size_t max_length = 32, max_distance = 2;
    if (known.empty() || word.size() > max_length) return otherwise;
    const auto distance = [&](const std::string& name) { return edit_distance(word, name); };
    const std::string& nearest = *std::ranges::min_element(known, {}, distance);
    return distance(nearest) <= max_distance ? fmt::format("; did you mean {}?", nearest) : otherwise;
}

std::string lacking_feature([[maybe_unused]] std::string_view name) {
#ifndef KUDO_NATS
    if (name == "fleet" || name == "nats" || name.starts_with("nats-") || name == "host-name")
        return ": this kudo-agent was built without the fleet's part (-DKUDO_NATS=ON)";
#endif
#ifndef KUDO_HTTPS
    if (name == "https" || name.starts_with("https-"))
        return ": this kudo-agent was built without web servers as sources (-DKUDO_HTTPS=ON)";
#endif
    return "";
}

Error error_of(const CLI::App& app, const CLI::ParseError& error) {
    const CLI::App& command = innermost(app);
    const std::string type = error.get_name(), see_help = fmt::format("; see {} --help", full_name(command));
    const std::string_view what = error.what();
    std::string message = fmt::format("{}{}", what, see_help);
    if (dynamic_cast<const CLI::ExtrasError*>(&error)) { // whose name is the command's
        message = unexpected_word(command, app.remaining(true).front(), see_help);
    } else if (type == "ConfigFileError") {
        message = what;
    } else if (type == "FileError") {
        message = fmt::format("--config: {}", what);
    } else if (type == "ArgumentMismatch") { // begins with the option
        message = fmt::format("{} takes exactly one value{}", what.substr(0, what.find(':')), see_help);
    } else if (type == "ValidationError") {
        message = what;
    }
    return {ErrorKind::BadInput, std::move(message), 0};
}

} // namespace kudo
