// SPDX-License-Identifier: MIT
#include "cli/fleet/text.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/terminal/units.h"

namespace kudo {

OrderedJson serial_json(uint64_t serial) {
    return serial == 0 ? OrderedJson() : OrderedJson(serial);
}

OrderedJson stragglers_json(const std::vector<Straggler>& stragglers) {
    OrderedJson list = OrderedJson::array();
    for (const Straggler& straggler : stragglers) {
        const auto& report = straggler.host->report;
        OrderedJson why = OrderedJson::array();
        for (const Complaint& complaint : straggler.complaints)
            why.push_back(complaint.text);
        list.push_back({{"host", straggler.host->name},
                        {"ring", text_or_null(report ? report->ring : "")},
                        {"serial", serial_json(report ? report->serial : 0)},
                        {"staged", serial_json(report ? report->staged_serial : 0)},
                        {"health", text_or_null(report ? report->health : "")},
                        {"age_seconds", std::chrono::floor<std::chrono::seconds>(straggler.host->age).count()},
                        {"why", why}});
    }
    return list;
}

std::string stragglers_text(const std::vector<Straggler>& stragglers, bool colour) {
    if (stragglers.empty()) return "";
    Table table({{"STRAGGLER"}, {"RING"}, {"SERIAL", Align::Right}, {"REPORTED"}, {"WHY"}});
    for (const Straggler& straggler : stragglers) {
        if (&straggler - stragglers.data() == static_cast<std::ptrdiff_t>(max_stragglers)) break;
        const auto& report = straggler.host->report;
        const std::string age = age_text(straggler.host->age);
        table.add({straggler.host->name, report ? report->ring : "?",
                   report && report->serial != 0 ? fmt::format("{}", report->serial) : "-",
                   age == "now" ? age : age + " ago", straggler.text()},
                  Style::Yellow);
    }
    std::string text = table.text(colour);
    if (stragglers.size() > max_stragglers)
        text += fmt::format("and {} more; --json lists all\n", stragglers.size() - max_stragglers);
    return text;
}

} // namespace kudo
