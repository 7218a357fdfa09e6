// SPDX-License-Identifier: MIT
#include "cli/arguments/parse_error.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/arguments/suggest.h"

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

std::string see_help(const CLI::App& app) {
    return fmt::format("; see {} --help", full_name(app));
}

std::vector<std::string> command_names(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
        names.push_back(command->get_name());
    return names;
}

// Long names of the options that the command and the program take.
std::vector<std::string> option_names(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::App* at = &app; at; at = at->get_parent()) {
        for (const CLI::Option* option : at->get_options()) {
            for (const std::string& name : option->get_lnames())
                names.push_back("--" + name);
        }
    }
    return names;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
    const auto suggestion = nearest(word, known);
    return suggestion ? fmt::format("; did you mean {}?", *suggestion) : "";
}

std::string unexpected_word(const CLI::App& app, const std::string& word) {
    const CLI::App& command = innermost(app);
    if (word.size() > 1 && word.front() == '-') {
        const std::string name = word.substr(0, word.find('='));
        const std::string hint = did_you_mean(name, option_names(command));
        return fmt::format("unknown option {}{}", name, hint.empty() ? see_help(command) : hint);
    }
    const auto names = command_names(command);
    if (names.empty()) return fmt::format("unexpected argument \"{}\"{}", word, see_help(command));
    const std::string hint = did_you_mean(word, names);
    return fmt::format("unknown command \"{}\"{}", word,
                       hint.empty() ? fmt::format("; there are {}", fmt::join(names, ", ")) : hint);
}

// "enable.regio" is the key regio in the section [enable]; "++" stands for the section itself.
std::string config_error(const CLI::App& app, std::string_view what) {
    constexpr std::string_view unknown = "INI was not able to parse ";
    const std::string file = app.get_config_ptr()->as<std::string>();
    if (!what.starts_with(unknown)) return fmt::format("{}: {}", file, what);
    const std::string_view item = what.substr(unknown.size());
    const auto dot = item.rfind('.');
    const std::string_view key = dot == std::string_view::npos ? item : item.substr(dot + 1);
    if (dot == std::string_view::npos) return fmt::format("{}: unknown key \"{}\"", file, key);
    const std::string_view section = item.substr(0, dot);
    if (key == "++" || key == "--") return fmt::format("{}: unknown section [{}]", file, section);
    return fmt::format("{}: unknown key \"{}\" in section [{}]", file, key, section);
}

// "--mode: 1 required MODE missing"
std::string mismatch(const CLI::App& app, std::string_view what) {
    const auto colon = what.find(": 1 required ");
    const auto end = what.rfind(" missing");
    if (colon != std::string_view::npos && end != std::string_view::npos) {
        const auto type = colon + std::string_view(": 1 required ").size();
        return fmt::format("{} needs a value: {}", what.substr(0, colon), what.substr(type, end - type));
    }
    constexpr std::string_view at_most = ": At Most 1 required but received ";
    const auto twice = what.find(at_most);
    if (twice != std::string_view::npos)
        return fmt::format("{} takes one value, but {} were given", what.substr(0, twice),
                           what.substr(twice + at_most.size()));
    return std::string(what) + see_help(innermost(app));
}

bool is_help_given(const CLI::App& app) {
    return app.get_help_ptr() && app.get_help_ptr()->count() > 0;
}

} // namespace

bool is_help_wanted(const CLI::App& app) {
    const CLI::App* command = &innermost(app);
    for (; command; command = command->get_parent()) {
        if (is_help_given(*command)) return true;
    }
    return false;
}

Error error_of(const CLI::App& app, const CLI::ParseError& error) {
    const std::string what = error.what();
    std::string message = what + see_help(innermost(app));
    if (dynamic_cast<const CLI::ExtrasError*>(&error)) {
        const auto words = app.remaining(true);
        if (!words.empty()) message = unexpected_word(app, words.front());
    } else if (dynamic_cast<const CLI::ConfigError*>(&error)) {
        message = config_error(app, what);
    } else if (dynamic_cast<const CLI::FileError*>(&error)) {
        message = fmt::format("--config: cannot read {}", app.get_config_ptr()->as<std::string>());
    } else if (dynamic_cast<const CLI::ArgumentMismatch*>(&error)) {
        message = mismatch(app, what);
    } else if (dynamic_cast<const CLI::RequiredError*>(&error)) {
        message = what + see_help(innermost(app));
    } else if (dynamic_cast<const CLI::ValidationError*>(&error)) {
        message = what;
    }
    return {ErrorKind::BadInput, std::move(message), 0};
}

} // namespace kudo
