// SPDX-License-Identifier: MIT
#include "cli/commands/commands.h"

#include "cli/commands/demo.h"
#include "cli/commands/disable.h"
#include "cli/commands/enable.h"
#include "cli/commands/explain.h"
#include "cli/commands/ranges_apply.h"
#include "cli/commands/ranges_check.h"
#include "cli/commands/ranges_diff.h"
#include "cli/commands/ranges_history.h"
#include "cli/commands/ranges_rollback.h"
#include "cli/commands/ranges_show.h"
#include "cli/commands/run.h"
#include "cli/commands/stats.h"
#include "cli/commands/status.h"
#ifdef KUDO_NATS
#include "cli/commands/fleet_promote.h"
#include "cli/commands/fleet_publish.h"
#include "cli/commands/fleet_status.h"
#endif

namespace kudo {

const std::vector<Command>& commands() {
    static const std::vector<Command> table = {
        {"enable", "Recognise, count and prioritise KUDO's traffic on this host", setup_enable},
        {"disable", "Put everything back as it was", setup_disable},
        {"status", "What is wanted, what is there, and what differs", setup_status},
        {"stats", "What has been counted: by service, by reason, by flow", setup_stats},
        {"explain", "What would happen to a packet, and by which line of which map", setup_explain},
        {"ranges",
         "The range map: what KUDO's rules are",
         nullptr,
         {{"show", "The range map in use", setup_ranges_show},
          {"check", "Is a range map right, and what would this host do with it?", setup_ranges_check},
          {"diff", "What a range map would change", setup_ranges_diff},
          {"apply", "Use a range map from its effective date on", setup_ranges_apply},
          {"history", "Which range maps have been in effect here, and which will be", setup_ranges_history},
          {"rollback", "Go back to an older range map until a newer one supersedes that", setup_ranges_rollback}}},
        {"run", "The service: takes range maps from their sources and keeps everything as it should be", setup_run},
#ifdef KUDO_NATS
        {"fleet",
         "The operator's side: maps for many hosts, in rings",
         nullptr,
         {{"publish", "Send a signed range map or key set to a ring", setup_fleet_publish},
          {"promote", "Send what one ring has to the next, if its hosts are well", setup_fleet_promote},
          {"status", "Per ring: who has what; stragglers by name", setup_fleet_status}}},
#endif
        {"demo", "The whole thing in private network namespaces; touches nothing of this host", setup_demo},
    };
    return table;
}

} // namespace kudo
