// SPDX-License-Identifier: MIT
// Puts a terminal back when the program crashes.
// Invariant: from arm() to disarm() no end of this process but SIGKILL leaves the terminal as a screen program's: its
// modes are what they were before, and what was prepared is written to it. What a crash does otherwise (exit status,
// core dump) stays as it is. In a signal handler only what signal-safety(7) lists is called.
#pragma once

#include <string>

#include <termios.h>

#include "maps/base/result.h"

namespace kudo {

// One at a time in a process.
class TerminalRestore {
public:
    // `before`: the modes to go back to. `sequence`: to write to standard output; at most 256 bytes.
    static Result<TerminalRestore> arm(const termios& before, const std::string& sequence);
    TerminalRestore(TerminalRestore&& other) noexcept : armed_(std::exchange(other.armed_, false)) {}
    TerminalRestore& operator=(TerminalRestore&&) = delete;
    ~TerminalRestore(); // nothing is written: whoever ends in order puts the terminal back himself

private:
    TerminalRestore() = default;
    bool armed_ = true;
};

} // namespace kudo
