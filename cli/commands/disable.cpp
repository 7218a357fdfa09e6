// SPDX-License-Identifier: MIT
#include "cli/commands/disable.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/reconcile/disable.h"
#include "agent/state/desired_state.h"

namespace kudo {
namespace {

Result<int> run_disable(const GlobalOptions& global) {
    const auto disabled = KUDO_TRY(disable(global.instance));
    const auto state = load_desired_state(global.instance);
    std::string text = disabled.changed ? "disabled; all kudo-agent programs, maps and queues removed\n"
                                        : "not enabled; nothing of kudo-agent found\n";
    for (const std::string& program : disabled.unknown)
        text += fmt::format("not checked: {} (its name takes CAP_SYS_ADMIN to read)\n", program);
    for (const std::string& set : disabled.kept)
        text += set + "\n";
    if (state && !state->ranges.active.hash.empty())
        text += fmt::format("the applied range map ({}) is kept in {} for the next enable\n",
                            state->ranges.active.source, global.instance.state_dir.string());
    KUDO_TRY(print_either(global.json,
                          {{"changed", disabled.changed},
                           {"enabled", false},
                           {"not_checked", disabled.unknown},
                           {"firewall_sets_kept", disabled.kept}},
                          text));
    return exit_done;
}

} // namespace

Run setup_disable(CLI::App&) {
    return run_disable;
}

} // namespace kudo
