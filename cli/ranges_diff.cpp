// SPDX-License-Identifier: MIT
// `kudo-agent ranges diff FILE`: what a range map would change.
// Invariant: reading only; a difference is not a failure.
#include <memory>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/current_rules.h"
#include "cli/output.h"

namespace kudo {
namespace {

OrderedJson diff_json(const MapDiff& difference) {
    OrderedJson result;
    result["old_serial"] = difference.old_serial;
    result["new_serial"] = difference.new_serial;
    result["changes"] = OrderedJson::array();
    for (const MapDiff::Change& change : difference.changes) {
        OrderedJson item;
        item["service"] = change.service;
        item["what"] = change.what;
        item["value"] = change.value;
        item["change"] = change.added ? "added" : "removed";
        result["changes"].push_back(std::move(item));
    }
    return result;
}

std::string diff_text(const MapDiff& difference, bool colour) {
    std::string text = fmt::format("from serial {} to {}\n", difference.old_serial, difference.new_serial);
    if (difference.changes.empty()) return text + "no difference: both maps ask for the same\n";
    for (const MapDiff::Change& change : difference.changes) {
        const std::string line =
            fmt::format("{} {} {} {}", change.added ? '+' : '-', change.service, change.what, change.value);
        text += paint(line, change.added ? Style::Green : Style::Red, colour) + "\n";
    }
    return text;
}

Result<int> run_diff(const std::string& file, const GlobalOptions& global) {
    const auto read = read_map(global.instance, file);
    if (!read) return fail(read.error());
    const auto rules = current_rules(global.instance);
    if (!rules) return fail(rules.error());
    const MapDiff difference = diff(rules->stored.map, read->map);
    if (global.json) {
        KUDO_TRY(print_json(diff_json(difference)));
        return exit_done;
    }
    std::string text = diff_text(difference, colour_wanted());
    if (!rules->note.empty()) text += fmt::format("note: {}\n", one_line(rules->note));
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
