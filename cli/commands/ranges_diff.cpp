// SPDX-License-Identifier: MIT
// `kudo-agent ranges diff FILE`: what a range map would change.
// Invariant: reading only; a difference is not a failure.
#include "cli/commands/ranges_diff.h"

#include <memory>

#include <fmt/format.h>

#include "cli/arguments/options.h"
#include "cli/ranges/current_rules.h"
#include "cli/ranges/outlook.h"
#include "cli/terminal/output.h"
#include "cli/views/diff_view.h"

namespace kudo {
namespace {

Result<int> run_diff(const std::string& file, const GlobalOptions& global) {
    const auto read = KUDO_TRY(read_map(global.instance, file));
    const auto rules = KUDO_TRY(current_rules(global.instance));
    const MapDiff difference = diff(rules.maps.active.map, read.map);
    const Outlook outlook = outlook_of(global, rules, read, file);
    if (global.json) {
        OrderedJson answer = diff_json(difference);
        add_outlook(answer, outlook);
        KUDO_TRY(print_json(answer));
        return exit_done;
    }
    std::string text = diff_text(difference, colour_wanted());
    if (!rules.note.empty()) text += fmt::format("note: {}\n", one_line(rules.note));
    if (outlook.outcome != outcome_name(Accepted::Activated) && outlook.outcome != "unknown")
        text += fmt::format("note: {}\n", one_line(outlook.text));
    KUDO_TRY(print(text));
    return exit_done;
}

} // namespace

Run setup_ranges_diff(CLI::App& app) {
    const auto file = std::make_shared<std::string>();
    app.add_option("FILE", *file, "A range map, or the vendor's {\"ipv4\": [...]}")->required()->type_name("");
    return [file](const GlobalOptions& global) { return run_diff(*file, global); };
}

} // namespace kudo
