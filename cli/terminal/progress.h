// SPDX-License-Identifier: MIT
// How far a command has come that takes seconds: one line of a terminal's standard error, which the next one replaces.
// Invariant: nothing is written where standard error is no terminal; on one nothing stays when it is destroyed.
#pragma once

#include <string_view>

namespace kudo {

class Progress {
public:
    Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress();
    void show(std::string_view text);

private:
    const bool on_terminal_;
    bool shown_ = false;
};

} // namespace kudo
