// SPDX-License-Identifier: MIT
// The shape of every command, and the options that all of them take.
// Invariant: setup() only declares options; nothing happens before Run is called.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "agent/acceptance/acceptance.h"
#include "agent/system/instance.h"
#include "cli/terminal/output.h"
#include "maps/base/result.h"

namespace CLI {
class App;
}

namespace kudo {

struct GlobalOptions {
    bool json = false;
    bool verbose = false;
    std::optional<std::filesystem::path> query_socket; // --query-socket; empty path: none
    Instance instance;                                 // --bpffs and --state-dir
    AcceptanceSettings acceptance; // --keys, --key-threshold, --fleet, --ring, --grace, --no-early-additions
};

// Does what was asked for, prints it, and gives the exit status.
using Run = std::function<Result<int>(const GlobalOptions&)>;

// Whether the service answers the command, with all its options, for users without privileges: of one that changes
// anything, or reads a file that is named, never.
enum class Answered { Here, ByService };

struct Command {
    const char* name;
    const char* description;
    Run (*setup)(CLI::App& app); // null: only its children do something
    std::vector<Command> children = {};
    Answered answered = Answered::Here;
};

} // namespace kudo
