// SPDX-License-Identifier: MIT
#include "cli/commands/status.h"

#include <nlohmann/json.hpp>

#include "cli/arguments/options.h"
#include "cli/views/status_view.h"

namespace kudo {
namespace {

Result<int> run_status(const GlobalOptions& global) {
    const auto status = KUDO_TRY(read_status(global.instance));
    KUDO_TRY(print_either(global.json, status_json(status), status_text(status, colour_wanted())));
    return exit_status(status);
}

} // namespace

Run setup_status(CLI::App& app) {
    app.footer("Exit status: 0 healthy, 3 not enabled, 4 degraded.");
    return run_status;
}

} // namespace kudo
