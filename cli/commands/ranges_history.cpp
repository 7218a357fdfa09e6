// SPDX-License-Identifier: MIT
// `kudo-agent ranges history`: which range maps were staged, activated, rolled back and retired on this host.
// Invariant: reading only.
#include "cli/commands/ranges_history.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/state/desired_state.h"
#include "cli/terminal/output.h"

namespace kudo {
namespace {

OrderedJson history_json(const RangeLedger& ledger) {
    OrderedJson entries = OrderedJson::array();
    for (const HistoryEntry& entry : ledger.history)
        entries.push_back({{"when", rfc3339(entry.when)},
                           {"event", event_name(entry.event)},
                           {"serial", entry.map.serial},
                           {"hash", text_or_null(entry.map.hash)},
                           {"source", text_or_null(entry.map.source)},
                           {"signed_by", entry.map.signed_by}});
    return {{"highest_serial", ledger.highest_serial},
            {"rolled_back_from", ledger.rolled_back_from == 0 ? OrderedJson() : OrderedJson(ledger.rolled_back_from)},
            {"history", std::move(entries)}};
}

std::string history_text(const RangeLedger& ledger, bool colour) {
    if (ledger.history.empty()) return "only the built-in range map has been used here\n";
    Table table({{"WHEN"}, {"WHAT"}, {"SERIAL", Align::Right}, {"SOURCE"}, {"SIGNED BY"}});
    for (const HistoryEntry& entry : ledger.history)
        table.add({rfc3339(entry.when), std::string(event_name(entry.event)),
                   entry.map.serial == 0 ? "built-in" : fmt::format("{}", entry.map.serial), one_line(entry.map.source),
                   fmt::format("{}", fmt::join(entry.map.signed_by, " "))});
    return table.text(colour);
}

Result<int> run_history(const GlobalOptions& global) {
    const auto state = KUDO_TRY(load_desired_state(global.instance));
    if (global.json)
        KUDO_TRY(print_json(history_json(state.ranges)));
    else
        KUDO_TRY(print(history_text(state.ranges, colour_wanted())));
    return exit_done;
}

} // namespace

Run setup_ranges_history(CLI::App&) {
    return run_history;
}

} // namespace kudo
