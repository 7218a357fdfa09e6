// SPDX-License-Identifier: MIT
#include "cli/commands/commands.h"

#include "cli/commands/confirm.h"
#include "cli/commands/demo.h"
#include "cli/commands/disable.h"
#include "cli/commands/doctor.h"
#include "cli/commands/enable.h"
#include "cli/commands/explain.h"
#include "cli/commands/firewall_show.h"
#include "cli/commands/firewall_sync.h"
#include "cli/commands/ranges_apply.h"
#include "cli/commands/ranges_check.h"
#include "cli/commands/ranges_diff.h"
#include "cli/commands/ranges_history.h"
#include "cli/commands/ranges_rollback.h"
#include "cli/commands/ranges_show.h"
#include "cli/commands/report.h"
#include "cli/commands/run.h"
#include "cli/commands/stats.h"
#include "cli/commands/status.h"
#include "cli/commands/version.h"
#ifdef KUDO_TOP
#include "cli/commands/top.h"
#endif
#ifdef KUDO_NATS
#include "cli/commands/fleet_promote.h"
#include "cli/commands/fleet_publish.h"
#include "cli/commands/fleet_status.h"
#endif

namespace kudo {

const std::vector<Command>& commands() {
    constexpr auto by_service = Answered::ByService, in_part = Answered::InPart;
    static const std::vector<Command> table = {
        {"enable", "Recognise, count and prioritise KUDO traffic on this host", setup_enable},
        {"confirm", "Keep mode enforce, which ends by itself if it is not confirmed", setup_confirm},
        {"disable", "Remove all kudo-agent programs, maps and queues; restore the previous queues", setup_disable},
        {"status", "Desired and actual state, and the drift between them", setup_status, {}, by_service},
        {"stats", "Counters by service, reason and flow", setup_stats, {}, by_service},
#ifdef KUDO_TOP
        {"top",
         "Where packets are lost, and all flows, live on the terminal",
         setup_top,
         {},
         in_part,
         setup_top_in_service},
#endif
        {"doctor", "Check whether KUDO works from this host, and what keeps it from that", setup_doctor},
        {"report",
         "Write one page to hand on: where packets are lost, and who must act",
         setup_report,
         {},
         in_part,
         setup_report_in_service},
        {"explain",
         "How a packet would be treated, and by which line of which range map",
         setup_explain,
         {},
         by_service},
        {"ranges",
         "Range maps: show, validate, apply, roll back",
         nullptr,
         {{"show", "Show the range map in use", setup_ranges_show, {}, by_service},
          {"check", "Validate a range map and predict its effect on this host", setup_ranges_check},
          {"diff", "Show what a range map would change", setup_ranges_diff},
          {"apply", "Apply a range map as of its effective date", setup_ranges_apply},
          {"history", "Show past and staged range maps of this host", setup_ranges_history, {}, by_service},
          {"rollback", "Roll back to an older range map until a newer one supersedes the rollback",
           setup_ranges_rollback}}},
        {"firewall",
         "The host firewall's rules for KUDO's traffic",
         nullptr,
         {{"show", "Show the rules that let KUDO's traffic through", setup_firewall_show},
          {"sync", "Keep nftables sets equal to the policy, for your own rules to refer to", setup_firewall_sync}}},
        {"run", "Run as a service: take range maps from their sources and correct drift", setup_run},
#ifdef KUDO_NATS
        {"fleet",
         "For operators: distribute range maps to many hosts, ring by ring",
         nullptr,
         {{"publish", "Publish a signed range map or key set to a ring", setup_fleet_publish},
          {"promote", "Promote what one ring has to the next, if its hosts are healthy", setup_fleet_promote},
          {"status", "Show versions and health per ring, and stragglers by name", setup_fleet_status}}},
#endif
        {"demo", "Demonstrate all of it in private network namespaces; changes nothing on this host", setup_demo},
        {"version", "Print the version, and what of the running kernel's features kudo-agent can use", setup_version},
    };
    return table;
}

} // namespace kudo
