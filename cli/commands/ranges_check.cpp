// SPDX-License-Identifier: MIT
// `kudo-agent ranges check FILE`: reads and judges a range map as apply would, and changes nothing.
// Invariant: what passes here compiles for every choice of regions and optional services, and breaks no guard.
#include "cli/commands/ranges_check.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "cli/arguments/options.h"
#include "cli/ranges/current_rules.h"
#include "cli/ranges/outlook.h"
#include "cli/terminal/output.h"
#include "maps/base/text.h"
#include "maps/document/overlaps.h"

namespace kudo {
namespace {

struct Figures {
    std::size_t ipv4 = 0, ipv6 = 0, domains = 0;
};

Figures figures_of(const RangeMap& map) {
    Figures result;
    for (const Service& service : map.services) {
        const auto ipv4 = static_cast<std::size_t>(std::ranges::count_if(
            service.ranges, [](const Range& range) { return range.prefix.address.family == Family::IPv4; }));
        result.ipv4 += ipv4;
        result.ipv6 += service.ranges.size() - ipv4;
        result.domains += service.domains.size();
    }
    return result;
}

// The widest choice: each limit that any choice can meet is met here.
Result<void> check_compiles(const RangeMap& map, const std::string& file) {
    CompileOptions options;
    options.regions = map.regions();
    for (const Service& service : map.services)
        if (service.optional) options.optional_services.push_back(service.name);
    KUDO_TRY(compile(map, options).in(file));
    return {};
}

OrderedJson range_json(const std::string& service, const Range& range) {
    return {{"service", service}, {"range", range.prefix.text()}, {"path", range.path}};
}

struct Findings {
    std::vector<Overlap> overlaps;
    SignatureOutlook signature;
    Outlook outlook;
};

OrderedJson check_json(const ReadMap& read, const Findings& findings) {
    const RangeMap& map = read.map;
    const Figures figures = figures_of(map);
    OrderedJson overlaps = OrderedJson::array();
    for (const Overlap& overlap : findings.overlaps)
        overlaps.push_back({{"inner", range_json(overlap.inner_service, overlap.inner)},
                            {"outer", range_json(overlap.outer_service, overlap.outer)}});
    OrderedJson result{{"valid", findings.outlook.refusal.empty()},
                       {"vendor_list", read.vendor_list},
                       {"serial", map.serial},
                       {"issued", rfc3339(map.issued)},
                       {"effective", rfc3339(map.effective)},
                       {"expires", map.expires ? OrderedJson(rfc3339(*map.expires)) : OrderedJson()},
                       {"services", map.services.size()},
                       {"regions", map.regions()},
                       {"ranges", {{"ipv4", figures.ipv4}, {"ipv6", figures.ipv6}}},
                       {"domains", figures.domains},
                       {"overlaps", std::move(overlaps)}};
    result["signature"] = signature_json(findings.signature);
    add_outlook(result, findings.outlook);
    return result;
}

std::string check_text(const std::string& file, const ReadMap& read, const Findings& findings) {
    const Figures figures = figures_of(read.map);
    std::string text =
        read.vendor_list ? fmt::format("{}: a valid vendor list; over range map {} it gives:\n", file, read.map.serial)
                         : fmt::format("{}: a valid range map, serial {}, in effect from {}\n", file, read.map.serial,
                                       rfc3339(read.map.effective));
    text += fmt::format("  {}, {}, {} and {}\n", counted(read.map.services.size(), "service"),
                        counted(figures.ipv4, "IPv4 range"), counted(figures.ipv6, "IPv6 range"),
                        counted(figures.domains, "domain"));
    text += "  (all that is in the file; status counts those of the regions and services that a host has enabled)\n";
    text +=
        fmt::format("  regions: {}\n", read.map.regions().empty() ? "the same in every one" : regions_text(read.map));
    for (const Overlap& overlap : findings.overlaps) {
        text += fmt::format("  overlap: {} of {} ({}) lies inside {} of {} ({})\n", overlap.inner.prefix.text(),
                            overlap.inner_service, overlap.inner.path, overlap.outer.prefix.text(),
                            overlap.outer_service, overlap.outer.path);
    }
    text += fmt::format("  signature: {}\n", one_line(findings.signature.text));
    text +=
        fmt::format("  {}{}\n", findings.signature.right == true || read.vendor_list ? "" : "with a valid signature, ",
                    one_line(findings.outlook.text));
    return text;
}

Result<int> check(const std::string& file, const GlobalOptions& global) {
    const auto read = KUDO_TRY(read_map(global.instance, file));
    KUDO_TRY(check_compiles(read.map, file));
    const auto rules = KUDO_TRY(current_rules(global.instance));
    const Findings findings{find_overlaps(read.map), signature_of(global, rules, read, file),
                            outlook_of(global, rules, read, file)};
    if (global.json) KUDO_TRY(print_json(check_json(read, findings)));
    if (!findings.outlook.refusal.empty()) return bad_input(findings.outlook.refusal);
    if (!global.json) KUDO_TRY(print(check_text(file, read, findings)));
    return exit_done;
}

} // namespace

Run setup_ranges_check(CLI::App& app) {
    const auto file = std::make_shared<std::string>();
    app.add_option("FILE", *file, "A range map, or the vendor's {\"ipv4\": [...]}")->required()->type_name("");
    app.footer(
        "Trusted keys: --keys and --key-threshold; the fleet of this host: --fleet and --ring (kudo-agent "
        "--help).\nExit status: 2 if the file is invalid, has expired, or a guard refuses it; all else is reported, "
        "and is 0.");
    return [file](const GlobalOptions& global) { return check(*file, global); };
}

} // namespace kudo
