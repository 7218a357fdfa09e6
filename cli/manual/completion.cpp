// SPDX-License-Identifier: MIT
#include "cli/manual/completion.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace kudo {
namespace {

using Strings = std::vector<std::string>;

// How a shell finds out what there is on this host.
constexpr const char* serials =
    R"(kudo-agent ranges history --json 2>/dev/null | sed -n 's/^ *"serial": \([0-9]*\),*$/\1/p' | sort -un)";

Strings names_of(const std::vector<ManualOption>& options) {
    Strings names;
    for (const ManualOption& option : options)
        names.insert(names.end(), option.names.begin(), option.names.end());
    return names;
}

Strings names_of(const std::vector<ManualCommand>& commands) {
    Strings names;
    for (const ManualCommand& command : commands)
        names.push_back(command.name());
    return names;
}

std::string path_of(const ManualCommand& command) {
    return fmt::format("{}", fmt::join(command.path, " "));
}

// In single quotes, as all three shells take them; fish also reads \\ in them.
std::string single_quoted(std::string_view text, bool fish = false) {
    std::string quoted = "'";
    for (const char letter : text) {
        if (letter == '\'')
            quoted += fish ? "\\'" : "'\\''";
        else if (letter == '\\' && fish)
            quoted += "\\\\";
        else
            quoted += letter;
    }
    return quoted + "'";
}

std::string bash_values(const ManualOption& option) {
    switch (option.kind) {
    case ValueKind::Words:
        return fmt::format("_kudo_agent_words {} {}", option.with_commas ? "," : "''",
                           single_quoted(fmt::format("{}", fmt::join(option.words, " "))));
    case ValueKind::File:
        return "_filedir";
    case ValueKind::Folder:
        return "_filedir -d";
    case ValueKind::Interface:
        return "_kudo_agent_words '' \"$(ls /sys/class/net 2>/dev/null)\"";
    case ValueKind::Serial:
        return fmt::format("_kudo_agent_words '' \"$({})\"", serials);
    case ValueKind::User:
        return "COMPREPLY=($(compgen -u -- \"$cur\"))";
    default:
        return ":";
    }
}

// The cases of one command's options.
std::string bash_option_cases(const ManualCommand& command) {
    std::string cases;
    const std::string prefix = path_of(command) + ":";
    for (const ManualOption& option : command.options) {
        if (option.kind == ValueKind::Flag || option.optional_value) continue;
        Strings patterns;
        // Those of the program are taken by every command.
        for (const std::string& name : option.names)
            patterns.push_back(command.path.empty() ? "*:" + name : single_quoted(prefix + name));
        cases += fmt::format("        {}) {}; return ;;\n", fmt::join(patterns, " | "), bash_values(option));
    }
    return cases;
}

std::string zsh_text(std::string_view text) {
    std::string safe;
    for (const char letter : text) {
        if (letter == '[' || letter == ']' || letter == ':' || letter == '\\') safe += '\\';
        safe += letter;
    }
    return safe;
}

std::string zsh_values(const ManualOption& option) {
    switch (option.kind) {
    case ValueKind::Words:
        return option.with_commas ? fmt::format("_values -s , {} {}",
                                                zsh_text(option.value.substr(0, option.value.find_first_of("[,"))),
                                                fmt::join(option.words, " "))
                                  : fmt::format("({})", fmt::join(option.words, " "));
    case ValueKind::File:
        return "_files";
    case ValueKind::Folder:
        return "_files -/";
    case ValueKind::Interface:
        return "_kudo_agent_interfaces";
    case ValueKind::Serial:
        return "_kudo_agent_serials";
    case ValueKind::User:
        return "_users";
    default:
        return " ";
    }
}

// One for each name: _arguments takes "--name=[description]:value:action".
Strings zsh_options(const std::vector<ManualOption>& options) {
    Strings specs;
    for (const ManualOption& option : options) {
        Strings others;
        for (const std::string& name : option.names)
            others.push_back(name);
        const bool repeats = option.kind != ValueKind::Flag;
        for (const std::string& name : option.names) {
            std::string spec = repeats ? "*" : fmt::format("({})", fmt::join(others, " "));
            spec += name;
            if (option.kind != ValueKind::Flag && name.starts_with("--")) spec += "=";
            spec += fmt::format("[{}]", zsh_text(option.description));
            if (option.kind != ValueKind::Flag)
                spec += fmt::format("{}:{}:{}", option.optional_value ? ":" : "", zsh_text(option.value),
                                    zsh_values(option));
            specs.push_back(single_quoted(spec));
        }
    }
    return specs;
}

std::string zsh_function(const ManualCommand& program, const ManualCommand& command) {
    std::string name = "_kudo-agent";
    for (const std::string& word : command.path)
        name += "_" + word;
    std::string text = name + "() {\n    local curcontext=\"$curcontext\" state line ret=1\n    typeset -A opt_args\n";
    text += "    _arguments -C";
    Strings specs = zsh_options(command.options);
    const Strings own = names_of(command.options);
    for (const ManualOption& option : program.options)
        if (!command.path.empty() && std::ranges::find(own, option.names.back()) == own.end())
            std::ranges::copy(zsh_options({option}), std::back_inserter(specs));
    for (const ManualOption& argument : command.arguments)
        specs.push_back(single_quoted(
            fmt::format("{}:{}:{}", argument.required ? "" : ":", argument.names[0], zsh_values(argument))));
    if (!command.commands.empty()) {
        specs.emplace_back("'1:command:->command'");
        specs.emplace_back("'*::argument:->argument'");
    }
    for (const std::string& spec : specs)
        text += " \\\n        " + spec;
    text += " && ret=0\n";
    if (!command.commands.empty()) {
        text += "    case $state in\n    command)\n        local -a commands=(\n";
        for (const ManualCommand& below : command.commands)
            text += fmt::format("            {}\n", single_quoted(below.name() + ":" + below.description));
        text += "        )\n        _describe command commands && ret=0\n        ;;\n    argument)\n        case "
                "$line[1] in\n";
        for (const ManualCommand& below : command.commands)
            text += fmt::format("        {0}) {1}_{0} && ret=0 ;;\n", below.name(), name);
        text += "        esac\n        ;;\n    esac\n";
    }
    return text + "    return ret\n}\n";
}

std::string fish_values(const ManualOption& option) {
    switch (option.kind) {
    case ValueKind::Flag:
        return "";
    case ValueKind::Words:
        if (option.with_commas)
            return fmt::format(
                " -x -a {}", single_quoted(fmt::format("(__kudo_agent_list {})", fmt::join(option.words, " ")), true));
        return fmt::format(" -x -a {}", single_quoted(fmt::format("{}", fmt::join(option.words, " ")), true));
    case ValueKind::File:
        return " -r -F";
    case ValueKind::Folder:
        return " -x -a '(__fish_complete_directories)'";
    case ValueKind::Interface:
        return " -x -a '(ls /sys/class/net 2>/dev/null)'";
    case ValueKind::Serial:
        return " -x -a " + single_quoted(fmt::format("({})", serials), true);
    case ValueKind::User:
        return " -x -a '(__fish_complete_users)'";
    default:
        return option.optional_value ? "" : " -x";
    }
}

std::string fish_options(const ManualCommand& command) {
    std::string lines;
    for (const ManualOption& option : command.options) {
        lines += "complete -c kudo-agent";
        if (!command.path.empty()) lines += fmt::format(" -n \"__kudo_agent_at {}\"", path_of(command));
        for (const std::string& name : option.names)
            lines += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
        lines += fish_values(option) + " -d " + single_quoted(option.description, true) + "\n";
    }
    for (const ManualOption& argument : command.arguments)
        if (argument.kind == ValueKind::File)
            lines += fmt::format("complete -c kudo-agent -n \"__kudo_agent_at {}\" -F\n", path_of(command));
    for (const ManualCommand& below : command.commands)
        lines += fmt::format("complete -c kudo-agent -n \"__kudo_agent_at {}\" -a {} -d {}\n", path_of(command),
                             below.name(), single_quoted(below.description, true));
    return lines;
}

constexpr std::string_view bash_begin = R"(# bash completion for kudo-agent, made from its command line's declarations

# _kudo_agent_words SEPARATOR WORDS: those that go on from what is typed; with a separator, from the last part of it.
_kudo_agent_words() {
    local before=
    if [[ -n $1 && $cur == *"$1"* ]]; then
        before=${cur%"$1"*}$1
    fi
    COMPREPLY=($(compgen -P "$before" -W "$2" -- "${cur#"$before"}"))
}

)";

constexpr std::string_view bash_function = R"(_kudo_agent() {
    local cur prev words cword split
    _init_completion -s -n , || return
    local command='' i
    for ((i = 1; i < cword; i++)); do
        case ${words[i]} in
        -*=*) ;;
        -*) _kudo_agent_takes_value "${words[i]}" && ((i++)) ;;
        *) ! _kudo_agent_has "$command" "${words[i]}" || command+=${command:+ }${words[i]} ;;
        esac
    done
    case "$command:$prev" in
)";

constexpr std::string_view fish_begin = R"(# fish completion for kudo-agent, made from its command line's declarations

# Is this the command that has been typed so far?
function __kudo_agent_at
    set -l command
    set -l is_value 0
    for word in (commandline -opc)[2..]
        if test $is_value = 1
            set is_value 0
        else if string match -q -- '-*' $word
            contains -- $word $__kudo_agent_with_value; and set is_value 1
        else if contains -- (string join ' ' $command $word) $__kudo_agent_commands
            set -a command $word
        end
    end
    test "$command" = "$argv"
end

# Several of the words, with commas between them.
function __kudo_agent_list
    set -l before (string match -r '^.*,' -- (commandline -ct | string replace -r '^--?[^=]*=' ''))
    printf "$before%s\n" $argv
end

complete -c kudo-agent -f
)";

} // namespace

std::string bash_completion(const ManualCommand& program) {
    std::string text(bash_begin), names, cases, replies, has;
    for (const ManualCommand* command : flattened(program)) {
        if (!command->path.empty()) cases += bash_option_cases(*command);
        Strings words = names_of(command->options);
        if (!command->path.empty()) std::ranges::copy(names_of(program.options), std::back_inserter(words));
        std::ranges::sort(words);
        words.erase(std::unique(words.begin(), words.end()), words.end());
        std::string otherwise =
            "_kudo_agent_words '' " + single_quoted(fmt::format("{}", fmt::join(names_of(command->commands), " ")));
        if (command->commands.empty())
            otherwise = command->arguments.empty() ? ":" : bash_values(command->arguments.front());
        replies += fmt::format(
            "    {})\n        if [[ $cur == -* ]]; then\n            _kudo_agent_words '' {}\n        else\n"
            "            {}\n        fi\n        ;;\n",
            single_quoted(path_of(*command)), single_quoted(fmt::format("{}", fmt::join(words, " "))), otherwise);
        for (const ManualCommand& below : command->commands)
            has += fmt::format("    {}) ;;\n", single_quoted(path_of(*command) + ":" + below.name()));
    }
    cases += bash_option_cases(program);
    text +=
        fmt::format("_kudo_agent_takes_value() {{\n    case $1 in\n    {}) ;;\n    *) return 1 ;;\n    esac\n}}\n\n",
                    fmt::join(options_with_value(program), " | "));
    text += fmt::format("_kudo_agent_has() {{\n    case \"$1:$2\" in\n{}    *) return 1 ;;\n    esac\n}}\n\n", has);
    text += bash_function;
    text += cases + "    esac\n    ! $split || return\n    case $command in\n" + replies + "    esac\n}\n\n";
    return text + "complete -F _kudo_agent kudo-agent\n";
}

std::string zsh_completion(const ManualCommand& program) {
    std::string text =
        "#compdef kudo-agent\n# zsh completion for kudo-agent, made from its command line's declarations\n\n"
        "_kudo_agent_interfaces() {\n    local -a interfaces=(/sys/class/net/*(N:t))\n"
        "    _describe interface interfaces\n}\n\n";
    text += fmt::format(
        "_kudo_agent_serials() {{\n    local -a serials=(${{(f)\"$({})\"}})\n    _describe serial serials\n}}\n\n",
        serials);
    for (const ManualCommand* command : flattened(program))
        text += zsh_function(program, *command) + "\n";
    return text + "if [ \"$funcstack[1]\" = _kudo-agent ]; then\n    _kudo-agent \"$@\"\nelse\n    compdef _kudo-agent "
                  "kudo-agent\nfi\n";
}

std::string fish_completion(const ManualCommand& program) {
    std::string text(fish_begin), commands;
    for (const ManualCommand* command : flattened(program))
        if (!command->path.empty()) commands += " " + single_quoted(path_of(*command), true);
    text += "set -g __kudo_agent_commands" + commands + "\n";
    text += fmt::format("set -g __kudo_agent_with_value {}\n\n", fmt::join(options_with_value(program), " "));
    for (const ManualCommand* command : flattened(program))
        text += fish_options(*command);
    return text;
}

} // namespace kudo
