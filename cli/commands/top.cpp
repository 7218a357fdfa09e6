// SPDX-License-Identifier: MIT
#include "cli/commands/top.h"

#include <utility>

#include <CLI/App.hpp>

#include "agent/system/capabilities.h"
#include "cli/commands/by_service.h"
#include "cli/terminal/output.h"
#include "cli/top/keys.h"
#include "cli/top/remote.h"
#include "cli/top/top.h"
#include "cli/top/view.h"

namespace kudo {
namespace {

Result<int> top(const GlobalOptions& global) {
    if (global.json)
        return bad_input(
            "--json: top is for people; programs read kudo-agent stats --json, with --watch again and again");
    if (global.service) {
        RemoteView view(KUDO_TRY(begin_by_service(*global.service)));
        KUDO_TRY(run_top(view, colour_wanted()));
        return exit_done;
    }
    if (auto may = check_capabilities(); !may) { // and no socket to ask by
        may.error().message +=
            "; or, as a member of the group kudo-agent while the service runs, name its --query-socket";
        return fail(std::move(may.error()));
    }
    LocalView view(KUDO_TRY(Reader::make(global.instance)));
    KUDO_TRY(run_top(view, colour_wanted()));
    return exit_done;
}

Result<int> serve_top(const GlobalOptions& global) {
    LocalView view(KUDO_TRY(Reader::make(global.instance)));
    KUDO_TRY(serve_view(view, global.asker));
    return exit_done;
}

} // namespace

Run setup_top(CLI::App& app) {
    app.footer("Where packets are lost, and every flow with its rate, loss, round trip and process, read again every "
               "second, or less often where top itself would take more than 2 % of a core. It changes nothing.\n" +
               keys_text());
    return top;
}

Run setup_top_in_service(CLI::App&) {
    return serve_top;
}

} // namespace kudo
