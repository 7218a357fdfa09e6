// SPDX-License-Identifier: MIT
#include "cli/commands/top.h"

#include <CLI/App.hpp>

#include "agent/system/capabilities.h"
#include "cli/terminal/output.h"
#include "cli/top/keys.h"
#include "cli/top/top.h"

namespace kudo {
namespace {

Result<int> top(const GlobalOptions& global) {
    if (global.json)
        return bad_input(
            "--json: top is for people; programs read kudo-agent stats --json, with --watch again and again");
    if (auto may = check_capabilities(); !may) {
        may.error().message +=
            "; or, as a member of the group kudo-agent while the service runs: kudo-agent stats --flows --watch";
        return fail(std::move(may.error()));
    }
    KUDO_TRY(run_top(global.instance, colour_wanted()));
    return exit_done;
}

} // namespace

Run setup_top(CLI::App& app) {
    app.footer("Where packets are lost, and every flow with its rate, loss, round trip and process, read again every "
               "second, or less often where top itself would take more than 2 % of a core. It changes nothing.\n" +
               keys_text());
    return top;
}

} // namespace kudo
