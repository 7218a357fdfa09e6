// SPDX-License-Identifier: MIT
// Every command that there is. Each setup_ function stands in a file of the command's name.
// Included by the table in commands.cpp and by those files.
// Invariant: a command that is not in commands() does not exist.
#pragma once

#include "cli/command.h"

namespace kudo {

const std::vector<Command>& commands();

Run setup_enable(CLI::App& app);
Run setup_disable(CLI::App& app);
Run setup_status(CLI::App& app);
Run setup_stats(CLI::App& app);
Run setup_explain(CLI::App& app);
Run setup_ranges_show(CLI::App& app);
Run setup_ranges_check(CLI::App& app);
Run setup_ranges_diff(CLI::App& app);
Run setup_ranges_apply(CLI::App& app);
Run setup_ranges_history(CLI::App& app);
Run setup_ranges_rollback(CLI::App& app);
Run setup_run(CLI::App& app);
#ifdef KUDO_NATS
Run setup_fleet_publish(CLI::App& app);
Run setup_fleet_promote(CLI::App& app);
Run setup_fleet_status(CLI::App& app);
#endif

} // namespace kudo
