// SPDX-License-Identifier: MIT
#include "cli/manual/page.h"

#include <algorithm>
#include <cctype>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace kudo {
namespace {

// Text on a line of its own. What roff would read as something else is written so that it is printed.
std::string plain(std::string_view text) {
    std::string result;
    for (const char letter : text) {
        if (letter == '\\')
            result += "\\e";
        else if (letter == '-')
            result += "\\-";
        else if (letter == '~')
            result += "\\(ti";
        else if (letter == '^')
            result += "\\(ha";
        else if (letter == '"')
            result += "\\(dq";
        else
            result += letter;
    }
    if (result.starts_with('.') || result.starts_with('\'')) result.insert(0, "\\&");
    return result;
}

// mdoc wants sentences to begin on a line of their own, and lines of at most 80 bytes.
std::string sentences(std::string_view text) {
    constexpr std::size_t longest = 78;
    std::string lines, line;
    const auto end_line = [&] {
        if (!line.empty()) lines += plain(line) + "\n";
        line.clear();
    };
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find(' ', begin), text.size());
        const std::string_view word = text.substr(begin, end - begin);
        begin = end + 1;
        if (word.empty()) continue;
        if (plain(line).size() + 1 + plain(word).size() > longest) end_line();
        line += (line.empty() ? "" : " ") + std::string(word);
        const bool is_last = begin < text.size() && std::isupper(static_cast<unsigned char>(text[begin])) != 0;
        if (word.ends_with('.') && is_last) end_line();
    }
    end_line();
    return lines;
}

// An argument of a macro.
std::string argument(std::string_view text) {
    return "\"" + plain(text) + "\"";
}

std::string names_and_value(const ManualOption& option) {
    std::vector<std::string> parts;
    const bool option_like = option.names.front().starts_with('-');
    for (const std::string& name : option.names)
        parts.push_back(option_like ? "Fl " + argument(name.substr(1)) : "Ar " + argument(name));
    std::string text = fmt::format("{}", fmt::join(parts, " , "));
    if (option_like && !option.value.empty()) text += " Ar " + argument(option.value);
    return text;
}

std::string synopsis(const ManualCommand& command) {
    std::string lines = ".Nm kudo\\-agent\n";
    if (!command.path.empty()) lines += fmt::format(".Cm {}\n", fmt::join(command.path, " "));
    for (const ManualOption& option : command.options) {
        if (option.names.back() == "--help") continue;
        lines += (option.required ? "." : ".Op ") + names_and_value(option) + "\n";
    }
    for (const ManualOption& option : command.arguments)
        lines += (option.required ? ".Ar " : ".Op Ar ") + argument(option.names.front()) + "\n";
    if (!command.commands.empty()) lines += ".Ar command\n";
    return lines;
}

std::string list_of(const std::vector<ManualOption>& options) {
    std::string text = ".Bl -tag -width Ds\n";
    for (const ManualOption& option : options) {
        text += ".It " + names_and_value(option) + "\n" + sentences(option.description + ".");
        if (option.kind == ValueKind::Words && option.description.find(option.words.back()) == std::string::npos)
            text += sentences(fmt::format("One of {}.", fmt::join(option.words, ", ")));
        if (!option.default_text.empty()) text += plain(fmt::format("Default: {}.", option.default_text)) + "\n";
        if (option.required) text += "Required.\n";
    }
    return text + ".El\n";
}

constexpr std::string_view example = "Example: ", exit_status = "Exit status: ";

std::string description(const ManualCommand& command) {
    std::string text = sentences(command.description + (command.description.ends_with('.') ? "" : "."));
    for (const std::string& note : command.notes)
        if (!note.starts_with(example) && !note.starts_with(exit_status))
            text += ".Pp\n" + sentences(note + (note.ends_with('.') || note.ends_with(':') ? "" : "."));
    return text;
}

// The notes that begin so.
std::string section(const ManualCommand& command, std::string_view title, std::string_view begin) {
    std::string text;
    for (const std::string& note : command.notes) {
        if (!note.starts_with(begin)) continue;
        const std::string rest = note.substr(begin.size());
        text += begin == example ? ".Dl " + plain(rest) + "\n" : sentences(rest + (rest.ends_with('.') ? "" : "."));
    }
    return text.empty() ? "" : fmt::format(".Sh {}\n{}", title, text);
}

std::string commands_section(const ManualCommand& command) {
    if (command.commands.empty()) return "";
    std::string text = ".Sh COMMANDS\n.Bl -tag -width Ds\n";
    for (const ManualCommand& below : command.commands)
        text += fmt::format(".It Xr {} 1\n{}", page_name(below), sentences(below.description + "."));
    return text + ".El\n";
}

// The program, and the other commands of its group; in mdoc's order: by section, then by name.
std::string see_also(const ManualCommand& program, const ManualCommand& command) {
    std::string text = ".Sh SEE ALSO\n";
    if (!command.path.empty()) text += ".Xr kudo-agent 1 ,\n";
    std::set<std::string> others;
    for (const ManualCommand& group : program.commands)
        if (command.path.size() == 2 && group.name() == command.path.front())
            for (const ManualCommand& other : group.commands)
                if (other.name() != command.name()) others.insert(page_name(other));
    for (const std::string& page : others)
        text += fmt::format(".Xr {} 1 ,\n", page);
    return text + ".Xr kudo-agent.toml 5 ,\n.Xr kudo-range-map 5\n";
}

} // namespace

std::string page_name(const ManualCommand& command) {
    std::string name = "kudo-agent";
    for (const std::string& word : command.path)
        name += "-" + word;
    return name;
}

std::string manual_page(const ManualCommand& program, const ManualCommand& command, const std::string& date,
                        const std::string& more) {
    std::string title = page_name(command);
    std::ranges::transform(title, title.begin(), [](unsigned char letter) { return std::toupper(letter); });
    std::string summary = command.description;
    if (summary.ends_with('.')) summary.pop_back();
    if (!summary.empty() && summary[0] != 'K') summary[0] = static_cast<char>(std::tolower(summary[0]));
    std::string page = ".\\\" Made from the command line's declarations.\n";
    page += fmt::format(".Dd {}\n.Dt {} 1\n.Os\n.Sh NAME\n.Nm {}\n.Nd {}\n", date, title, plain(page_name(command)),
                        plain(summary));
    page += ".Sh SYNOPSIS\n" + synopsis(command) + ".Sh DESCRIPTION\n" + description(command);
    page += commands_section(command);
    if (!command.arguments.empty()) page += ".Sh ARGUMENTS\n" + list_of(command.arguments);
    page += ".Sh OPTIONS\n" + list_of(command.options);
    if (!command.path.empty()) page += ".Pp\nThe options of every command are in\n.Xr kudo-agent 1 .\n";
    page += section(command, "EXIT STATUS", exit_status) + section(command, "EXAMPLES", example);
    return page + more + see_also(program, command);
}

} // namespace kudo
