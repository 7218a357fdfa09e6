// SPDX-License-Identifier: MIT
// What of `enable` concerns mode enforce: its options, how it begins, and what is said of it.
// Invariant: nothing here changes the kernel or the state; `enable` does.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "agent/inspect/status.h"
#include "agent/state/desired_state.h"
#include "cli/arguments/command.h"

namespace kudo {

// What is not a part of the desired state by itself.
struct EnableOptions {
    DesiredState desired;
    std::optional<std::chrono::seconds> confirm_within, rehearse_for;
    bool no_confirm = false;
};

// --allow, --lifeline, --confirm-within, --no-confirm, --dry-run. `options` outlives the app.
void setup_enforcement(CLI::App& app, EnableOptions& options);

// With which mode they go, and which exclude each other: BadInput.
Result<void> check_enforcement(const EnableOptions& options);

// What the state that is there now makes of the request: sets enforcement and rehearsal of `desired`.
void begin_admission(const EnableOptions& options, const DesiredState& before, DesiredState& desired);

// What is known of what mode enforce will drop, before it does.
struct EnforceOutlook {
    std::string warning{}, text{};
};
EnforceOutlook enforce_outlook(const EnableOptions& options, const Instance& instance);

// Is there a service that follows what changes on the host?
bool service_runs(const Instance& instance);

// The line that says what to do next.
std::string next_text(const Status& status);

} // namespace kudo
