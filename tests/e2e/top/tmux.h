// SPDX-License-Identifier: MIT
// A terminal of a known size with a shell in it, in the host's namespace: tmux(1), with a server of its own.
// Invariant: its socket is in the test's own folder, and the server ends with the object.
#pragma once

#include <string>
#include <vector>

#include "tests/support/test_host.h"

namespace kudo::test {

class Tmux {
public:
    // The shell is sh(1), which does not put a terminal back after what it ran, with `top` as the program's top.
    // `environment`: "NAME=value". Throws if there is no tmux.
    Tmux(const TestHost& test, unsigned width, unsigned height, std::vector<std::string> environment = {});
    Tmux(const Tmux&) = delete;
    Tmux& operator=(const Tmux&) = delete;
    ~Tmux();

    [[nodiscard]] std::string screen() const;              // lines, without colours
    [[nodiscard]] std::string screen_with_colours() const; // and with them
    [[nodiscard]] std::vector<std::string> lines() const;
    void keys(const std::vector<std::string>& names) const; // "q", "Enter", "C-c"
    void type(const std::string& line) const;               // and Enter
    void resize(unsigned width, unsigned height) const;
    // "#{alternate_on}" and the like
    [[nodiscard]] std::string format(const std::string& text) const;
    // Of the program that the shell runs; 0: none.
    [[nodiscard]] int program() const;
    // Waits until this is on the screen; false: it never was.
    [[nodiscard]] bool shows(const std::string& text) const;

private:
    std::string tmux(std::vector<std::string> arguments) const;
    const TestHost& test_;
    std::string socket_;
};

} // namespace kudo::test
