// SPDX-License-Identifier: MIT
// The program's commands and options as data, read from the declarations that also parse the command line and print the
// help. From it manual pages and completion are made.
// Invariant: nothing is said here that the declarations do not say; words that an option takes are those that the
// parser itself names when it is given a wrong one.
#pragma once

#include <string>
#include <vector>

#include "cli/arguments/command.h"

namespace kudo {

// What an option's value is, as far as it can be completed.
enum class ValueKind { Flag, Text, Words, File, Folder, Interface, Serial, User };

struct ManualOption {
    std::vector<std::string> names; // "--region", "-v"; of a positional argument its one name
    std::string value;              // what stands for the value in the help; empty: a flag
    std::string description;
    std::string default_text; // empty: none
    bool required = false;
    bool optional_value = false;
    bool with_commas = false; // several words, with commas between them
    ValueKind kind = ValueKind::Flag;
    std::vector<std::string> words; // ValueKind::Words
};

struct ManualCommand {
    std::vector<std::string> path; // {"ranges", "show"}; of the program itself nothing
    std::string description;
    std::vector<std::string> notes; // the lines below the help
    std::vector<ManualOption> options, arguments;
    std::vector<ManualCommand> commands;

    [[nodiscard]] const std::string& name() const { return path.back(); }
};

ManualCommand read_program(const std::vector<Command>& commands);

// The command and all below it, from the outside in.
std::vector<const ManualCommand*> flattened(const ManualCommand& program);

// Names of options that take a value, of all commands; those with an optional value are not among them.
std::vector<std::string> options_with_value(const ManualCommand& program);

} // namespace kudo
