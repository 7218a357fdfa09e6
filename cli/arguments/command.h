// SPDX-License-Identifier: MIT
// The shape of every command, and the options that all of them take.
// Invariant: setup() only declares options; nothing happens before Run is called.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "agent/acceptance/acceptance.h"
#include "agent/query/ask.h"
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
    std::optional<ServiceQuery> service; // of a command InPart without capabilities: by whom it is told what it shows
    int asker = -1;                      // in the service's process of an answer: the connection to whom it answers
    AcceptanceSettings acceptance;       // --keys, --key-threshold, --fleet, --ring, --grace, --no-early-additions
};

// Does what was asked for, prints it, and gives the exit status.
using Run = std::function<Result<int>(const GlobalOptions&)>;

// Whether the service answers the command, with all its options, for users without privileges: of one that changes
// anything, or reads a file that is named, never. InPart: the command runs as its user, with what the service tells it
// (GlobalOptions::service).
enum class Answered { Here, ByService, InPart };

struct Command {
    const char* name;
    const char* description;
    Run (*setup)(CLI::App& app); // null: only its children do something
    std::vector<Command> children = {};
    Answered answered = Answered::Here;
    Run (*setup_in_service)(CLI::App& app) = nullptr; // of one InPart: what the service does, with its options
};

} // namespace kudo
