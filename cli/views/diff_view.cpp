// SPDX-License-Identifier: MIT
#include "cli/views/diff_view.h"

#include <fmt/format.h>

#include "cli/terminal/output.h"

namespace kudo {

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

} // namespace kudo
