// SPDX-License-Identifier: MIT
#include "tests/e2e/top/tmux.h"

#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "maps/base/text.h"
#include "tests/support/running_service.h"

namespace kudo::test {

Tmux::Tmux(const TestHost& test, unsigned width, unsigned height, std::vector<std::string> environment)
    : test_(test), socket_(test.folder + "/tmux.sock") {
    const std::string program =
        test.write_file("top", fmt::format("#!/bin/sh\nexec {} \"$@\"\n", fmt::join(test.agent_argv({"top"}), " ")));
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    environment.insert(environment.begin(), {"env", "LC_ALL=C.UTF-8", "PS1=$ "});
    environment.insert(environment.end(), {"sh", "-i"});
    std::vector<std::string> start = {
        "-f", "/dev/null", "new-session", "-d", "-x", std::to_string(width), "-y", std::to_string(height),
        "-c", test.folder};
    start.push_back(fmt::format("{}", fmt::join(environment, " ")));
    // The prompt's space and dollar pass a shell.
    std::string& command = start.back();
    command.replace(command.find("PS1=$ "), 6, "'PS1=$ '");
    tmux(std::move(start));
    if (!shows("$")) throw std::runtime_error("no shell in tmux: " + screen());
}

Tmux::~Tmux() {
    try {
        tmux({"kill-server"});
    } catch (const std::exception&) { // it has ended
    }
}

std::string Tmux::tmux(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"env", "-u", "TMUX", "LC_ALL=C.UTF-8", "tmux", "-u", "-S", socket_});
    return test_.in_host(std::move(arguments));
}

std::string Tmux::screen() const {
    return tmux({"capture-pane", "-p"});
}

std::string Tmux::screen_with_colours() const {
    return tmux({"capture-pane", "-p", "-e"});
}

std::vector<std::string> Tmux::lines() const {
    const std::string text = screen();
    std::vector<std::string> lines;
    for (const std::string_view line : split(text, '\n'))
        lines.emplace_back(line);
    return lines;
}

void Tmux::keys(const std::vector<std::string>& names) const {
    std::vector<std::string> arguments = {"send-keys"};
    arguments.insert(arguments.end(), names.begin(), names.end());
    tmux(std::move(arguments));
}

void Tmux::type(const std::string& line) const {
    tmux({"send-keys", "-l", line});
    keys({"Enter"});
}

void Tmux::resize(unsigned width, unsigned height) const {
    tmux({"resize-window", "-x", std::to_string(width), "-y", std::to_string(height)});
}

std::string Tmux::format(const std::string& text) const {
    std::string result = tmux({"display-message", "-p", text});
    if (result.ends_with('\n')) result.pop_back();
    return result;
}

int Tmux::program() const {
    const std::string shell = format("#{pane_pid}");
    std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", shell));
    int pid = 0;
    children >> pid;
    return pid;
}

bool Tmux::shows(const std::string& text) const {
    return eventually([&] { return screen().find(text) != std::string::npos; });
}

} // namespace kudo::test
