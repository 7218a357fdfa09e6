// SPDX-License-Identifier: MIT
#include "agent/doctor/command.h"

#include <algorithm>

namespace kudo {
namespace {

bool is_plain(char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
           std::string_view("_-.,:/@%+=").find(letter) != std::string_view::npos;
}

} // namespace

std::string shell_quoted(std::string_view word) {
    if (!word.empty() && std::ranges::all_of(word, is_plain)) return std::string(word);
    std::string quoted = "'";
    for (const char letter : word)
        quoted += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
    return quoted + "'";
}

std::string shell_command(const std::vector<std::string>& words) {
    std::string command;
    for (const std::string& word : words) {
        if (!std::ranges::all_of(word, [](char letter) { return letter >= ' ' && letter <= '~'; })) return "";
        command += (command.empty() ? "" : " ") + shell_quoted(word);
    }
    return command;
}

void add_command(std::string& commands, const std::string& command) {
    if (command.empty()) return;
    if (!commands.empty()) commands += " && ";
    commands += command;
}

} // namespace kudo
