// SPDX-License-Identifier: MIT
#include "cli/commands/status.h"

#include <nlohmann/json.hpp>

#include "cli/arguments/options.h"
#include "cli/views/status_view.h"

namespace kudo {
namespace {

Result<int> run_status(const GlobalOptions& global) {
    const auto status = KUDO_TRY(read_status(global.instance));
    Losses losses;
    // What keeps them from being read is drift that the status tells.
    if (status.desired.enabled && status.generation != 0)
        if (auto read = read_recent_losses(global.instance)) losses = std::move(*read);
    KUDO_TRY(print_either(global.json, status_json(status, losses), status_text(status, colour_wanted(), losses)));
    return exit_status(status, losses);
}

} // namespace

Run setup_status(CLI::App& app) {
    app.footer("Exit status: 0 healthy, 3 not enabled, 4 degraded, or this host has lost 1 % or more of a KUDO flow's "
               "packets in the "
               "last minute.");
    return run_status;
}

} // namespace kudo
