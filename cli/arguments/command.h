// SPDX-License-Identifier: MIT
// The shape of every command, and the options that all of them take.
// Invariant: setup() only declares options; nothing happens before Run is called.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "agent/acceptance/acceptance.h"
#include "agent/system/instance.h"
#include "maps/base/result.h"

namespace kudo {

inline constexpr const char* default_config_file = "/etc/kudo-agent/kudo-agent.toml";

struct GlobalOptions {
    bool json = false;
    bool verbose = false;
    Instance instance;             // --bpffs and --state-dir
    AcceptanceSettings acceptance; // --keys, --key-threshold, --fleet, --ring, --grace, --no-early-additions
};

// Does what was asked for, prints it, and gives the exit status.
using Run = std::function<Result<int>(const GlobalOptions&)>;

struct Command {
    const char* name;
    const char* description;
    Run (*setup)(CLI::App& app); // null: only its children do something
    std::vector<Command> children = {};
};

// Exit statuses that are not errors (DESIGN: command line).
inline constexpr int exit_done = 0;
inline constexpr int exit_bad_input = 2;
inline constexpr int exit_not_enabled = 3;
inline constexpr int exit_degraded = 4;

} // namespace kudo
