// SPDX-License-Identifier: MIT
// `kudo-agent ranges show`: the range map in use.
// Invariant: reading only; needs no capability, but for --domains.
#include "cli/commands/ranges_show.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/datapath/datapath.h"
#include "agent/inspect/learned_names.h"
#include "cli/arguments/options.h"
#include "cli/ranges/current_rules.h"
#include "cli/terminal/output.h"
#include "cli/views/diff_view.h"
#include "cli/views/learned_name_view.h"
#include "maps/base/abi_names.h"
#include "maps/compile/combine.h"
#include "maps/document/write_range_map.h"

namespace kudo {
namespace {

std::string or_dash(const std::vector<std::string>& words) {
    return words.empty() ? "-" : fmt::format("{}", fmt::join(words, " "));
}

struct ShowOptions {
    std::vector<std::string> regions;
    bool domains = false;
};

void keep_regions(RangeMap& map, const std::vector<std::string>& regions) {
    std::erase_if(map.services, [&](const Service& service) {
        return std::ranges::none_of(service.regions, [&](const std::string& region) {
            return region == "*" || std::ranges::find(regions, region) != regions.end();
        });
    });
}

// The services that these regions need. Nothing: no region is given.
Result<std::optional<std::set<std::string>>> services_of(const std::vector<std::string>& given,
                                                         const GlobalOptions& global) {
    const auto regions = normalised(given);
    if (regions.empty()) return std::nullopt;
    RangeMap map = KUDO_TRY(current_rules(global.instance)).maps.combined();
    KUDO_TRY(check_regions(map, regions));
    keep_regions(map, regions);
    std::set<std::string> services;
    for (const Service& service : map.services)
        services.emplace(parts_of(service.name).service);
    return services;
}

// The addresses that DNS has given for names of the map.
Result<int> show_domains(const ShowOptions& options, const GlobalOptions& global) {
    const auto needed = KUDO_TRY(services_of(options.regions, global));
    const DataPath data_path = KUDO_TRY(DataPath::open(global.instance));
    auto names = KUDO_TRY(read_learned_names(data_path));
    std::erase_if(names, [&](const LearnedName& name) {
        return name.domain.empty() || (needed && std::ranges::none_of(name.services, [&](const std::string& service) {
                                           return needed->contains(std::string(parts_of(service).service));
                                       }));
    });
    OrderedJson json = OrderedJson::array();
    Table table({{"NAME"}, {"ADDRESS"}, {"SERVICES"}, {"BY"}, {"UNTIL"}});
    for (const LearnedName& name : names) {
        table.add({text_or_dash(name.name), name.address.text(), or_dash(name.services), answered_by_text(name),
                   until_text(name)});
        json.push_back(learned_name_json(name));
    }
    const auto state = load_desired_state(global.instance);
    const bool exact = state && state->exact_domains;
    const std::string text =
        (exact ? "enabled with --exact-domains: wildcards of the map do not count\n" : std::string()) +
        (names.empty() ? fitted("DNS has given no address for a name of the map since enable, or none is valid now.\n")
                       : table.text(colour_wanted()));
    KUDO_TRY(print_either(global.json, json, text));
    return exit_done;
}

std::string services_text(const RangeMap& map, bool colour) {
    Table table({{"SERVICE"}, {"CLASS"}, {"REGIONS"}, {"RANGES", Align::Right}, {"PORTS"}, {"DOMAINS"}});
    for (const Service& service : map.services) {
        std::vector<std::string> ports;
        for (const PortRule& port : service.ports)
            ports.push_back(port.text());
        table.add({service.name, std::string(class_name(service.class_)),
                   or_dash(service.regions) + (service.optional ? " (optional)" : ""),
                   fmt::format("{}", service.ranges.size()), or_dash(ports), or_dash(service.domains)});
    }
    return table.text(colour);
}

Result<int> show(const ShowOptions& options, const GlobalOptions& global) {
    const auto rules = KUDO_TRY(current_rules(global.instance));
    RangeMap map = rules.maps.active.map;
    const auto regions = normalised(options.regions);
    KUDO_TRY(check_regions(map, regions));
    if (!regions.empty()) keep_regions(map, regions);
    if (global.json) {
        std::string document = to_json(map);
        if (!document.ends_with('\n')) document += '\n';
        KUDO_TRY(print(document));
        return exit_done;
    }
    std::string text = map_text(map, rules.maps.active.source) + ", effective from " + rfc3339(map.effective) + "\n\n";
    text += services_text(map, colour_wanted());
    for (const AcceptedMap& staged : rules.state.ranges.staged) {
        const auto next = KUDO_TRY(load_document(global.instance, staged.hash));
        text += fmt::format("\nstaged ({}), takes effect at {}{}:\n", one_line(staged.source),
                            rfc3339(staged.effective), staged.early ? "; what it adds is honoured already" : "");
        text += diff_text(diff(rules.maps.active.map, next), colour_wanted());
    }
    if (!rules.note.empty()) text += fmt::format("note: {}\n", one_line(rules.note));
    KUDO_TRY(print(text));
    return exit_done;
}

} // namespace

Run setup_ranges_show(CLI::App& app) {
    const auto options = std::make_shared<ShowOptions>();
    app.add_option("--region", options->regions, "Only what these regions need")
        ->type_name("REGION[,REGION]")
        ->delimiter(',')
        ->allow_extra_args(false);
    app.add_flag("--domains", options->domains,
                 "The addresses that DNS has given for names of the map, with until when");
    app.footer("With --json: the map's document, ready for ranges check, diff and apply; with --domains a list.");
    return [options](const GlobalOptions& global) {
        return options->domains ? show_domains(*options, global) : show(*options, global);
    };
}

} // namespace kudo
