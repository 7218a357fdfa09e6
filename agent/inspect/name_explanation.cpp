// SPDX-License-Identifier: MIT
#include "agent/inspect/name_explanation.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "bpf/dns.h"
#include "maps/base/text.h"
#include "maps/compile/combine.h"
#include "maps/document/domain.h"

namespace kudo {
namespace {

struct Fit {
    std::size_t how = 0;
    NameExplanation::Domain domain;
};

NameExplanation::Domain domain_of(const RangeMap& map, std::size_t service_at, std::size_t domain_at,
                                  const CompileOptions& options) {
    const Service& service = map.services[service_at];
    NameExplanation::Domain domain{.domain = service.domains[domain_at],
                                   .service = service.name,
                                   .path = domain_path(map, service.name, service.domains[domain_at]),
                                   .state = std::string(parts_of(service.name).state),
                                   .option = {},
                                   .ports = service.ports};
    const bool chosen = is_chosen(service, options);
    const bool wildcard = domain.domain.starts_with("*.");
    domain.counts = chosen && !(wildcard && options.exact_domains);
    if (!chosen) domain.option = missing_options(service, options);
    return domain;
}

std::vector<NameExplanation::Domain> domains_of(const RangeMap& map, const CompileOptions& options,
                                                const std::string& name) {
    std::vector<Fit> fits;
    for (std::size_t service = 0; service < map.services.size(); service++)
        for (std::size_t domain = 0; domain < map.services[service].domains.size(); domain++)
            if (const auto how = domain_fit(map.services[service].domains[domain], name); how != 0)
                fits.push_back({how, domain_of(map, service, domain, options)});
    std::ranges::stable_sort(fits, std::greater{}, &Fit::how);
    std::vector<NameExplanation::Domain> domains;
    for (Fit& fit : fits)
        domains.push_back(std::move(fit.domain));
    return domains;
}

// For the most specific of the domains that count. Nothing: none does.
std::vector<LearnedName> as_if_learned(const std::vector<NameExplanation::Domain>& domains) {
    std::vector<LearnedName> result;
    for (const auto& domain : domains) {
        if (!domain.counts) continue;
        if (result.empty())
            result.emplace_back().row = {
                .domain = domain_key(domain.domain), .query = 0, .until = std::numeric_limits<uint64_t>::max()};
        auto& services = result.front().services;
        if (std::ranges::find(services, domain.service) == services.end()) services.push_back(domain.service);
    }
    return result;
}

} // namespace

Result<std::string> parse_host_name(std::string_view text) {
    const auto refuse = [&](std::string_view why) {
        return bad_input(fmt::format("{} is not an IP address, and no name: {}", quoted_text(text), why));
    };
    std::string name(text);
    if (name.ends_with('.')) name.pop_back();
    if (std::ranges::any_of(name, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
        return refuse("DNS and range maps have internationalised names in their ASCII form (xn--..., RFC 5890), which "
                      "`idn2 NAME` prints");
    std::ranges::transform(name, name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
    if (name.find('*') != std::string::npos) return refuse("a wildcard stands for names; give one of them");
    if (name.size() > 253) return refuse("it has more than 253 characters");
    const auto labels = split(name, '.');
    const auto is_label = [](std::string_view label) {
        constexpr std::string_view usual = "abcdefghijklmnopqrstuvwxyz0123456789-_";
        return !label.empty() && label.size() <= 63 && label.find_first_not_of(usual) == std::string_view::npos;
    };
    if (!std::ranges::all_of(labels, is_label))
        return refuse("each label is 1 to 63 letters, digits, hyphens and underscores");
    if (labels.back().find_first_not_of("0123456789") == std::string_view::npos)
        return refuse("its last label is a number");
    return name;
}

uint64_t query_hash(std::string_view name, bool ipv6) {
    uint64_t hash = KUDO_FNV_BASIS;
    for (const std::string_view label : split(name, '.')) {
        hash = kudo_fnv(hash, static_cast<uint8_t>(label.size()));
        for (const char c : label)
            hash = kudo_fnv(hash, static_cast<uint8_t>(c));
    }
    return kudo_fnv(hash, ipv6 ? KUDO_DNS_TYPE_AAAA : KUDO_DNS_TYPE_A);
}

Result<NameExplanation> explain_name(const RangeMap& map, const CompileOptions& options, const std::string& name,
                                     std::optional<PortRule> port, const std::vector<LearnedName>& learned) {
    const auto compiled = KUDO_TRY(compile(map, options));
    NameExplanation result{.name = name, .port = port, .serial = map.serial, .source = {}, .options = options};
    result.domains = domains_of(map, options, name);
    if (result.domains.empty()) {
        result.notes.emplace_back(
            "No domain of the map has the name: what DNS gives for it is judged by ranges alone.");
        const std::string below = "*." + name;
        if (std::ranges::any_of(map.services, [&](const Service& service) {
                return std::ranges::find(service.domains, below) != service.domains.end();
            }))
            result.notes.push_back(fmt::format("{} is for all names below it, not for the name itself.", below));
    }
    if (!result.domains.empty() && std::ranges::none_of(result.domains, &NameExplanation::Domain::counts))
        result.notes.emplace_back(
            "No domain that has the name counts: what DNS gives for it is judged by ranges alone.");
    const auto as_if = as_if_learned(result.domains);
    // Of an address that no range can have.
    auto of_none = KUDO_TRY(explain(map, compiled, options, Address::parse("0.0.0.0").value(), port, as_if));
    result.rules = std::move(of_none.rules);
    result.admission = std::move(of_none.admission);

    const uint64_t query4 = query_hash(name, false), query6 = query_hash(name, true);
    for (const LearnedName& each : learned) {
        if (each.row.query != query4 && each.row.query != query6) continue;
        NameExplanation::Known known{.learned = each, .range = {}, .rule = {}};
        auto explained = KUDO_TRY(explain(map, compiled, options, each.address, port, {each}));
        const auto by_range =
            std::ranges::find_if(explained.rules, [](const Explanation::Rule& rule) { return !rule.range.empty(); });
        if (by_range != explained.rules.end())
            known.range = fmt::format("{} of {}", by_range->range, by_range->service);
        known.learned = std::move(explained.names.front());
        if (port) known.rule = explained.rules.front();
        result.known.push_back(std::move(known));
    }
    if (std::ranges::any_of(result.known, &NameExplanation::Known::by_range))
        result.notes.emplace_back("A range comes before a name: addresses within one are judged by it.");
    if (options.exact_domains && std::ranges::any_of(result.domains, [](const NameExplanation::Domain& domain) {
            return domain.domain.starts_with("*.");
        }))
        result.notes.emplace_back("Wildcards do not count: enabled with --exact-domains.");
    return result;
}

} // namespace kudo
