// SPDX-License-Identifier: MIT
// `kudo-agent ranges rollback`: an older range map again, by this admin's decision, until a map supersedes that.
// Invariant: the highest serial stays; what the newer map added retires like all that is withdrawn.
#include "cli/commands/ranges_rollback.h"

#include <memory>
#include <optional>

#include <fmt/format.h>

#include "agent/reconcile/reconcile.h"
#include "cli/arguments/duration.h"
#include "cli/arguments/options.h"
#include "cli/terminal/output.h"
#include "cli/views/report.h"
#include "maps/document/built_in.h"

namespace kudo {
namespace {

// The map before this one, or the one with this serial. The built-in one is always there, by its serial and as 0.
Result<AcceptedMap> find_target(const RangeLedger& ledger, std::optional<uint64_t> serial) {
    if (!serial) {
        if (auto map = map_before(ledger)) return std::move(*map);
        return bad_input("ranges rollback: there is no map to go back to; see kudo-agent ranges history");
    }
    for (auto entry = ledger.history.rbegin(); entry != ledger.history.rend(); ++entry) {
        if (entry->took_effect() && entry->map.hash != ledger.active.hash && entry->map.serial == *serial)
            return entry->map;
    }
    if (!ledger.active.hash.empty() && (*serial == 0 || *serial == built_in_range_map().serial)) {
        AcceptedMap map;
        map.source = "built-in";
        return map;
    }
    return bad_input(fmt::format("--to: serial {} was never in effect here, or is in effect now; see kudo-agent ranges "
                                 "history",
                                 *serial));
}

// What the newer map had is not gone yet.
std::string retiring_text(const RangeLedger& ledger) {
    if (ledger.retiring.empty()) return "";
    return fmt::format("what only range map {} had is honoured for {} more; ranges rollback --grace 0s withdraws at "
                       "once\n",
                       ledger.retiring.front().serial, duration_text(ledger.retiring.front().remaining));
}

Result<int> run_rollback(std::optional<uint64_t> serial, const GlobalOptions& global) {
    const auto change = [&](DesiredState& state) -> Result<void> {
        auto target = KUDO_TRY(find_target(state.ranges, serial));
        roll_back(state.ranges, target, global.acceptance.grace, current_time_point());
        return {};
    };
    const auto report = KUDO_TRY(change_and_reconcile(global.instance, change, Asked::Policy));
    const auto summary = summarise(KUDO_TRY(load_desired_state(global.instance)), report);
    const RangeLedger& ranges = summary.state.ranges;
    if (global.json) {
        OrderedJson answer = report_json(report, summary);
        answer["rolled_back_from"] = ranges.rolled_back_from;
        KUDO_TRY(print_json(answer));
        return exit_done;
    }
    KUDO_TRY(
        print(fitted(fmt::format("rolled back from serial {} to range map {} ({}); a pushed map is held until it says "
                                 "\"supersedes\": {}, or you say ranges apply --end-rollback\n",
                                 ranges.rolled_back_from, summary.serial, summary.source, ranges.rolled_back_from) +
                     retiring_text(ranges) + report_text(report, colour_wanted()))));
    return exit_done;
}

} // namespace

Run setup_ranges_rollback(CLI::App& app) {
    const auto serial = std::make_shared<std::optional<uint64_t>>();
    app.add_option("--to", *serial, "The serial to go back to; default: the map before this one; 0: the built-in one")
        ->type_name("SERIAL");
    return [serial](const GlobalOptions& global) { return run_rollback(*serial, global); };
}

} // namespace kudo
