// SPDX-License-Identifier: MIT
#include "maps/compile/compile.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <netinet/in.h>

#include "maps/base/text.h"
#include "maps/compile/allow_entries.h"
#include "maps/compile/combine.h"
#include "maps/compile/domains.h"
#include "maps/compile/fill_prefilter.h"
#include "maps/compile/service_slots.h"
#include "maps/compile/trie_entries.h"
#include "maps/net/nat64.h"

namespace kudo {
namespace {

bool contains(const std::vector<std::string>& list, std::string_view value) {
    return std::ranges::find(list, value) != list.end();
}

Result<void> check_options(const RangeMap& map, const CompileOptions& options) {
    const std::vector<std::string> known = map.regions();
    if (options.regions.empty() && !known.empty())
        return bad_input("no region is chosen; the range map has " + joined(known));
    for (const std::string& region : options.regions) {
        if (!contains(known, region))
            return bad_input(fmt::format("region {} is not in the range map; it has {}", quoted_text(region),
                                         known.empty() ? "none" : joined(known)));
    }
    for (const std::string& name : options.optional_services) {
        if (map.find(name)) continue;
        std::vector<std::string> optional;
        for (const Service& service : map.services) {
            if (service.optional) optional.push_back(service.name);
        }
        return bad_input(fmt::format("optional service {} is not in the range map; it has {}", quoted_text(name),
                                     optional.empty() ? "none" : joined(optional)));
    }
    return {};
}

// The admin says that what is behind such a prefix is IPv4, the map that it is not.
Result<void> check_nat64(const std::vector<const Service*>& services, const std::vector<Prefix>& nat64) {
    if (nat64.empty()) return {};
    for (const Service* service : services) {
        for (const Range& range : service->ranges) {
            const auto overlap = std::ranges::find_if(nat64, [&](const Prefix& prefix) {
                return prefix.contains(range.prefix) || range.prefix.contains(prefix);
            });
            if (overlap != nat64.end())
                return bad_input(fmt::format("--nat64 {}: overlaps {} of service {} ({})", overlap->text(),
                                             range.prefix.text(), quoted_text(service->name), range.path));
        }
    }
    return {};
}

// Media over TCP is the fallback; otherwise a service's class is that of its packets.
kudo_class class_of(const Service& service, const PortRule& rule) {
    const bool fallback = service.class_ == KUDO_CLASS_MEDIA && rule.protocol == IPPROTO_TCP;
    return fallback ? KUDO_CLASS_FALLBACK : service.class_;
}

Result<kudo_service> compile_ports(const Service& service) {
    if (service.ports.size() > KUDO_MAX_PORTS)
        return bad_input(fmt::format("service {}: more than {} ports", quoted_text(service.name), KUDO_MAX_PORTS));
    kudo_service result{};
    std::ranges::transform(service.ports, result.ports, [&](const PortRule& rule) {
        return kudo_port_rule{rule.port, rule.protocol, static_cast<__u8>(class_of(service, rule))};
    });
    return result;
}

void add_entries(CompiledPolicy& compiled, const std::vector<TrieEntry>& entries) {
    const auto ipv6 = std::ranges::partition_point(
        entries, [](const TrieEntry& entry) { return entry.prefix.address.family == Family::IPv4; });
    compiled.entries4.reserve(static_cast<std::size_t>(ipv6 - entries.begin()));
    compiled.entries6.reserve(static_cast<std::size_t>(entries.end() - ipv6));
    for (auto entry = entries.begin(); entry != ipv6; ++entry)
        compiled.entries4.emplace_back(key4(entry->prefix), entry->match);
    for (auto entry = ipv6; entry != entries.end(); ++entry)
        compiled.entries6.emplace_back(key6(entry->prefix), entry->match);
    compiled.policy->prefixes4 = static_cast<__u32>(compiled.entries4.size());
    compiled.policy->prefixes6 = static_cast<__u32>(compiled.entries6.size());
}

void set_options(kudo_policy& policy, const CompileOptions& options) {
    policy.mode = options.mode;
    policy.admission = options.admission;
    policy.deadline = options.deadline;
    policy.firewall_mark = options.firewall_mark;
    policy.firewall_mark_mask = options.firewall_mark_mask;
    std::ranges::copy(options.marks, policy.marks);
}

} // namespace

Marks default_marks() {
    constexpr __u8 ef = 46, af41 = 34, af21 = 18, both = KUDO_MARK_PRIORITY | KUDO_MARK_DSCP;
    Marks marks{};
    marks[KUDO_TREATMENT_AUDIO] = {.priority = 6, .dscp = ef, .flags = both, .pad = 0};
    marks[KUDO_TREATMENT_VIDEO] = {.priority = 6, .dscp = af41, .flags = both, .pad = 0};
    marks[KUDO_TREATMENT_FALLBACK] = marks[KUDO_TREATMENT_VIDEO];
    marks[KUDO_TREATMENT_CONTROL] = {.priority = 4, .dscp = af21, .flags = both, .pad = 0};
    return marks;
}

bool is_chosen(const Service& service, const CompileOptions& options) {
    // An early or retiring part of a service is chosen with it.
    if (service.optional && !contains(options.optional_services, parts_of(service.name).service)) return false;
    return std::ranges::any_of(service.regions,
                               [&](const auto& region) { return region == "*" || contains(options.regions, region); });
}

std::vector<Prefix> CompileOptions::nat64_prefixes() const {
    std::vector<Prefix> prefixes{well_known_nat64_prefix()};
    for (const Prefix& prefix : nat64)
        if (std::ranges::find(prefixes, prefix) == prefixes.end()) prefixes.push_back(prefix);
    return prefixes;
}

std::size_t count_nat64(const CompiledPolicy& compiled, const CompileOptions& options) {
    const auto prefixes = options.nat64_prefixes();
    return static_cast<std::size_t>(std::ranges::count_if(compiled.entries6, [&](const auto& entry) {
        Prefix prefix{.address = {.family = Family::IPv6}, .length = static_cast<uint8_t>(entry.first.prefix_length)};
        std::ranges::copy(entry.first.address, prefix.address.bytes.begin());
        const auto ipv4 = extract(prefix, prefixes);
        if (!ipv4) return false;
        const auto key = key4(*ipv4);
        const auto place = std::ranges::lower_bound(compiled.entries4, key, key_less<kudo_lpm4_key>,
                                                    [](const auto& other) { return other.first; });
        return place != compiled.entries4.end() && !key_less(key, place->first);
    }));
}

Result<CompiledPolicy> compile(const RangeMap& map, const CompileOptions& options, const ServiceSlots& slots,
                               const ReusableSlots& reusable) {
    KUDO_TRY(check_options(map, options));
    std::vector<const Service*> chosen;
    for (const Service& service : map.services) {
        if (is_chosen(service, options)) chosen.push_back(&service);
    }
    auto all_slots = KUDO_TRY(assign_slots(slots, chosen, reusable));

    CompiledPolicy compiled{.policy = std::make_unique<kudo_policy>(),
                            .entries4 = {},
                            .entries6 = {},
                            .allow4 = {},
                            .allow6 = {},
                            .slots = std::move(all_slots)};
    kudo_policy& policy = *compiled.policy;
    policy.serial = map.serial;
    set_options(policy, options);
    std::vector<SlottedService> services;
    for (const Service* service : chosen) {
        const auto ports = KUDO_TRY(compile_ports(*service));
        services.push_back({service, compiled.slots.at(slot_name(service->name))});
        policy.services[services.back().slot] = ports;
    }
    KUDO_TRY(check_nat64(chosen, options.nat64));
    const auto entries = KUDO_TRY(trie_entries(services, options.nat64_prefixes()));
    add_entries(compiled, entries);
    fill_prefilters(policy, entries);
    KUDO_TRY(add_domains(policy, services, options.exact_domains));
    if (options.admission != KUDO_ADMISSION_NONE) KUDO_TRY(add_allow_rules(options.allow, compiled));
    std::ranges::copy(policy_hash(compiled), policy.content_hash);
    return compiled;
}

} // namespace kudo
