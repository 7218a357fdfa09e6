// SPDX-License-Identifier: MIT
#include "cli/manual/program.h"

#include <algorithm>
#include <set>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <fmt/format.h>

#include "cli/arguments/command_line.h"
#include "maps/base/text.h"
#include "maps/document/built_in.h"
#include "maps/document/guards.h"

namespace kudo {
namespace {

using Strings = std::vector<std::string>;

Strings parts_of(std::string_view text, std::string_view separator) {
    Strings parts;
    for (std::size_t begin = 0, end = 0; begin <= text.size(); begin = end + separator.size()) {
        end = std::min(text.find(separator, begin), text.size());
        if (end > begin) parts.emplace_back(text.substr(begin, end - begin));
    }
    return parts;
}

// What the parser names in its refusal of a word that none can be: "... is not one of auto, tc, xdp". The command
// parses alone, and so without a config file.
Strings accepted_words(CLI::App& command, const std::string& option) {
    constexpr std::string_view says = " is not one of ";
    try {
        command.parse(Strings{option + "=?"});
    } catch (const CLI::ParseError& error) {
        const std::string_view message = error.what();
        const auto at = message.find(says);
        if (message.starts_with(option + ": ") && at != message.npos)
            return parts_of(message.substr(at + says.size()), ", ");
    }
    return {};
}

Strings guard_words() {
    Strings words = parts_of(guard_names_text(), ", ");
    constexpr std::string_view last = " or ";
    const auto at = words.back().find(last);
    if (at == std::string::npos) return words;
    words.push_back(words.back().substr(at + last.size()));
    words[words.size() - 2].resize(at);
    return words;
}

ValueKind kind_of(const ManualOption& option) {
    const std::string& name = option.names.back();
    if (option.value == "FILE" || name == "FILE") return ValueKind::File;
    if (option.value == "DIR") return ValueKind::Folder;
    if (option.value == "IF") return ValueKind::Interface;
    if (option.value == "SERIAL") return ValueKind::Serial;
    if (name == "--user") return ValueKind::User;
    return ValueKind::Text;
}

ManualOption read_option(const CLI::Option& option) {
    ManualOption read;
    for (const std::string& name : option.get_snames())
        read.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames())
        read.names.push_back("--" + name);
    if (option.get_positional()) read.names = {option.get_name(true)};
    read.description = option.get_description();
    read.required = option.get_required();
    if (option.get_items_expected_max() == 0) return read; // a flag
    // Behind a colon CLI11 puts what the value is checked for.
    read.value = option.get_type_name();
    read.value.resize(std::min(read.value.size(), read.value.find(':')));
    read.default_text = option.get_default_str();
    read.optional_value = option.get_expected_min() == 0;
    read.with_commas = read.value.find(',') != std::string::npos;
    read.kind = kind_of(read);
    if (read.value.starts_with("REGION")) read.words = built_in_range_map().regions();
    if (read.names.back() == "--override") read.words = guard_words();
    return read;
}

// Of the program itself nothing is probed: its options take no words.
void find_words(CLI::App& app, ManualCommand& command) {
    for (ManualOption& option : command.options) {
        if (option.kind != ValueKind::Text) continue;
        if (option.words.empty() && !command.path.empty()) option.words = accepted_words(app, option.names.back());
        if (!option.words.empty()) option.kind = ValueKind::Words;
    }
}

ManualCommand read_command(CLI::App& app, const Strings& path) {
    ManualCommand command;
    command.path = path;
    command.description = app.get_description();
    command.notes = parts_of(app.get_footer(), "\n");
    for (const CLI::Option* option : app.get_options())
        (option->get_positional() ? command.arguments : command.options).push_back(read_option(*option));
    for (CLI::App* child : app.get_subcommands([](CLI::App*) { return true; })) {
        Strings below = path;
        below.push_back(child->get_name());
        command.commands.push_back(read_command(*child, below));
    }
    find_words(app, command);
    return command;
}

} // namespace

ManualCommand read_program(const std::vector<Command>& commands) {
    CLI::App app;
    Invocation invocation;
    declare_program(app, commands, invocation);
    return read_command(app, {});
}

std::vector<const ManualCommand*> flattened(const ManualCommand& program) {
    std::vector<const ManualCommand*> all{&program};
    for (const ManualCommand& command : program.commands)
        std::ranges::copy(flattened(command), std::back_inserter(all));
    return all;
}

std::vector<std::string> options_with_value(const ManualCommand& program) {
    std::set<std::string> names;
    for (const ManualCommand* command : flattened(program))
        for (const ManualOption& option : command->options)
            if (!option.value.empty() && !option.optional_value) names.insert(option.names.begin(), option.names.end());
    return {names.begin(), names.end()};
}

} // namespace kudo
