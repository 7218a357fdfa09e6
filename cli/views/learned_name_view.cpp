// SPDX-License-Identifier: MIT
#include "cli/views/learned_name_view.h"

#include <chrono>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "cli/terminal/output.h"
#include "maps/base/time.h"

namespace kudo {

std::string answered_by_text(const LearnedName& name) {
    if (!name.server) return "-";
    return name.server->text() + (name.by_service ? " (asked by the service)" : "");
}

std::string until_text(const LearnedName& name) {
    return rfc3339(std::chrono::floor<std::chrono::seconds>(name.until));
}

OrderedJson learned_name_json(const LearnedName& name) {
    const char* source = name.by_service ? "service" : "kernel";
    return {{"name", text_or_null(name.name)},
            {"address", name.address.text()},
            {"domain", text_or_null(name.domain)},
            {"services", name.services},
            {"server", name.server ? OrderedJson(name.server->text()) : OrderedJson(nullptr)},
            {"source", name.server ? OrderedJson(source) : OrderedJson(nullptr)},
            {"until", until_text(name)}};
}

std::string learned_names_text(const std::vector<LearnedName>& names, bool colour) {
    if (names.empty()) return "";
    Table table({{"GIVEN BY DNS FOR"}, {"DOMAIN OF THE MAP"}, {"SERVICES"}, {"BY"}, {"UNTIL"}});
    for (const LearnedName& name : names)
        table.add({text_or_dash(name.name), name.domain.empty() ? "none, with these options" : name.domain,
                   text_or_dash(fmt::format("{}", fmt::join(name.services, " "))), answered_by_text(name),
                   until_text(name)});
    return table.text(colour);
}

} // namespace kudo
