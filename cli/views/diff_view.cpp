// SPDX-License-Identifier: MIT
#include "cli/views/diff_view.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/terminal/output.h"

namespace kudo {

static void to_json(OrderedJson& json, const MapDiff::Change& change) {
    json = {{"service", change.service},
            {"what", change.what},
            {"value", change.value},
            {"change", change.added ? "added" : "removed"}};
}

OrderedJson diff_json(const MapDiff& difference) {
    return {
        {"old_serial", difference.old_serial}, {"new_serial", difference.new_serial}, {"changes", difference.changes}};
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

} // namespace kudo
