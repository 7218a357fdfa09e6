// SPDX-License-Identifier: MIT
// `kudo-agent status`: desired against actual.
// Invariant: the answer is printed whatever the exit status is.
#include "cli/commands/status.h"

#include "cli/terminal/output.h"
#include "cli/views/status_view.h"

namespace kudo {
namespace {

Result<int> run_status(const GlobalOptions& global) {
    const auto status = KUDO_TRY(read_status(global.instance));
    if (global.json)
        KUDO_TRY(print_json(status_json(status)));
    else
        KUDO_TRY(print(status_text(status, colour_wanted())));
    return exit_status(status);
}

} // namespace

Run setup_status(CLI::App& app) {
    app.footer("Exit status: 0 healthy, 3 not enabled, 4 degraded.");
    return run_status;
}

} // namespace kudo
