// SPDX-License-Identifier: MIT
#include "agent/inspect/explanation.h"

#include <algorithm>

#include <fmt/format.h>
#include <netinet/in.h>

#include "bpf/judge.h"
#include "maps/base/text.h"
#include "maps/compile/combine.h"
#include "maps/compile/domains.h"
#include "maps/document/domain.h"
#include "maps/net/nat64.h"

namespace kudo {
namespace {

// Everything that is needed to say where a judgement comes from.
struct Judge {
    const RangeMap& map;
    const CompiledPolicy& compiled;
    const Address& address;
    const kudo_match* match;
    const std::vector<Prefix>& nat64;
    const std::vector<LearnedName>& names;

    [[nodiscard]] std::string service_name(uint8_t slot) const {
        const auto found = std::ranges::find(compiled.slots, slot, [](const auto& entry) { return entry.second; });
        return slot == 0 || found == compiled.slots.end() ? "" : found->first;
    }

    [[nodiscard]] Explanation::Rule rule(std::string packet, uint8_t protocol, uint16_t port) const {
        const kudo_policy& policy = *compiled.policy;
        const kudo_judgement judgement = judge_packet(policy, match, names, protocol, port);
        Explanation::Rule result;
        result.packet = std::move(packet);
        result.verdict = static_cast<kudo_verdict>(kudo_verdict_of(judgement));
        result.reason = static_cast<kudo_reason>(judgement.reason);
        result.class_ = static_cast<kudo_class>(kudo_class_of(judgement));
        result.service = service_name(judgement.service);
        if (result.reason == KUDO_REASON_NAME)
            name_domain(result);
        else if (!result.service.empty())
            name_range(result, prefix_of(address, judgement.prefix_length));
        if (result.verdict == KUDO_PRIORITISED) {
            result.mark = policy.marks[result.class_]; // a class is its own treatment, see kudo_treatment
            if (result.class_ == KUDO_CLASS_MEDIA && protocol == IPPROTO_UDP)
                result.audio_mark = policy.marks[KUDO_TREATMENT_AUDIO];
            result.firewall_mark = {policy.firewall_mark, policy.firewall_mark_mask};
        }
        return result;
    }

private:
    void name_range(Explanation::Rule& rule, const Prefix& prefix) const {
        rule.range = prefix.text();
        const Service* service = map.find(rule.service);
        if (!service) return;
        auto range = std::ranges::find(service->ranges, prefix, &Range::prefix);
        if (const auto ipv4 = extract(prefix, nat64); ipv4 && range == service->ranges.end())
            range = std::ranges::find(service->ranges, *ipv4, &Range::prefix);
        if (range == service->ranges.end()) return;
        rule.range = range->prefix.text();
        rule.path = range->path;
    }
    // The first of the names that has the service has decided: judge_packet().
    void name_domain(Explanation::Rule& rule) const {
        const auto name = std::ranges::find_if(names, [&](const LearnedName& each) {
            return std::ranges::find(each.services, rule.service) != each.services.end();
        });
        const Service* service = map.find(rule.service);
        if (name == names.end() || !service) return;
        // A name has also the services of the wildcards that cover its domain.
        const std::string& covered = name->name.empty() ? name->domain : name->name;
        std::size_t best = 0;
        for (const std::string& domain : service->domains) {
            const std::size_t how = domain == name->domain ? SIZE_MAX : domain_fit(domain, covered);
            if (how <= best) continue;
            best = how;
            rule.domain = domain;
        }
        rule.path = domain_path(map, rule.service, rule.domain);
    }
};

// What the names are with these options: the kernel's policy may have other domains.
std::vector<LearnedName> with_options(const CompiledPolicy& compiled, std::vector<LearnedName> names) {
    for (LearnedName& name : names) {
        const kudo_domain* domain = kudo_find_domain(compiled.policy.get(), name.row.domain);
        name.domain = domain ? domain_text(*domain) : "";
        name.services.clear();
        for (int i = 0; domain && i < KUDO_DOMAIN_SERVICES; i++)
            for (const auto& [service, slot] : compiled.slots)
                if (slot != 0 && slot == domain->services[i]) name.services.push_back(service);
    }
    return names;
}

// One rule for each port that a service around the address lists, and the rest.
std::vector<Explanation::Rule> all_rules(const Judge& judge) {
    std::vector<uint8_t> services;
    if (judge.match)
        for (const kudo_candidate& candidate : judge.match->candidates)
            services.push_back(candidate.service);
    else
        for (const LearnedName& name : judge.names)
            for (const std::string& service : name.services)
                if (const auto slot = judge.compiled.slots.find(service); slot != judge.compiled.slots.end())
                    services.push_back(slot->second);
    if (services.empty()) return {judge.rule("any packet", IPPROTO_TCP, 0)};
    std::vector<Explanation::Rule> rules;
    std::vector<PortRule> seen;
    for (const uint8_t service : services) {
        if (service == 0) break;
        for (const kudo_port_rule& port : judge.compiled.policy->services[service].ports) {
            const PortRule named{port.protocol, port.port};
            if (port.protocol == 0 || std::ranges::find(seen, named) != seen.end()) continue;
            seen.push_back(named);
            rules.push_back(judge.rule(named.text(), named.protocol, named.port));
        }
    }
    rules.push_back(judge.rule("any other port", IPPROTO_TCP, 0)); // no map lists port 0
    rules.push_back(judge.rule("icmp", IPPROTO_ICMP, 0));
    return rules;
}

} // namespace

std::string domain_path(const RangeMap& map, std::string_view service, std::string_view domain) {
    const auto of = std::ranges::find(map.services, service, &Service::name);
    if (of == map.services.end()) return "";
    const auto found = std::ranges::find(of->domains, domain);
    if (found == of->domains.end() || !parts_of(of->name).state.empty()) return ""; // of another map
    return fmt::format("services[{}].domains[{}]", of - map.services.begin(), found - of->domains.begin());
}

std::string missing_options(const Service& service, CompileOptions options) {
    std::string missing;
    if (service.optional) {
        if (parts_of(service.name).service != "teams") return "";
        options.optional_services.emplace_back("teams");
        missing = "--teams";
    }
    if (is_chosen(service, options)) return missing;
    return fmt::format("--region {}{}{}", service.regions.front(), missing.empty() ? "" : " ", missing);
}

namespace {

std::vector<Explanation::NotChosen> not_chosen(const RangeMap& map, const CompileOptions& options,
                                               const Address& address) {
    std::vector<Explanation::NotChosen> result;
    for (const Service& service : map.services) {
        if (is_chosen(service, options)) continue;
        for (const Range& range : service.ranges) {
            if (!range.prefix.contains(address)) continue;
            result.push_back({service.name, range.prefix.text(), range.path, missing_options(service, options)});
        }
    }
    return result;
}

} // namespace

Result<Explanation> explain(const RangeMap& map, const CompileOptions& options, const Address& address,
                            std::optional<PortRule> port, const std::vector<LearnedName>& names) {
    return explain(map, KUDO_TRY(compile(map, options)), options, address, port, names);
}

Result<Explanation> explain(const RangeMap& map, const CompiledPolicy& compiled, const CompileOptions& options,
                            const Address& address, std::optional<PortRule> port,
                            const std::vector<LearnedName>& names) {
    const auto nat64 = options.nat64_prefixes();
    Explanation result;
    result.names = with_options(compiled, names);
    const Judge judge{map, compiled, address, longest_match(compiled, address), nat64, result.names};
    result.address = address;
    result.ipv4 = extract(address, nat64);
    result.port = port;
    result.serial = map.serial;
    result.options = options;
    result.rules = port ? std::vector{judge.rule(port->text(), port->protocol, port->port)} : all_rules(judge);
    if (options.admission != KUDO_ADMISSION_NONE)
        result.admission = admission_cases(*compiled.policy, judge.match, options.allow, address, port, result.names);
    result.not_chosen = not_chosen(map, options, result.ipv4.value_or(address));
    if (result.ipv4)
        result.notes.push_back(fmt::format("Behind a NAT64 {} is {}.", address.text(), result.ipv4->text()));
    if (!names.empty() && judge.match) result.notes.emplace_back("A range comes before a name: it alone decides.");
    if (!judge.match && names.empty())
        result.notes.emplace_back(
            "No range of the map has the address, and it is not known here that DNS has given it for a name "
            "under one of the map's domains.");
    return result;
}

} // namespace kudo
