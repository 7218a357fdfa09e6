// SPDX-License-Identifier: MIT
#include "maps/compile/domains.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "bpf/domains.h"
#include "maps/base/text.h"
#include "maps/document/domain.h"

namespace kudo {
namespace {

bool is_wildcard(const std::string& domain) {
    return domain.starts_with("*.");
}

// The services of a domain: of the domains that are it or cover it, the most specific first.
Result<kudo_domain> compile_domain(const std::string& domain, const std::vector<SlottedService>& services, bool exact) {
    std::vector<std::pair<std::size_t, uint8_t>> fits;
    for (const SlottedService& service : services) {
        std::size_t best = 0;
        for (const std::string& other : service.service->domains)
            if (!exact || !is_wildcard(other)) best = std::max(best, domain_fit(other, domain));
        if (best != 0) fits.emplace_back(best, service.slot);
    }
    if (fits.size() > KUDO_DOMAIN_SERVICES)
        return bad_input(fmt::format("domain {}: more than {} services have it, or one that covers it",
                                     quoted_text(domain), KUDO_DOMAIN_SERVICES));
    std::ranges::stable_sort(fits, [](const auto& a, const auto& b) { return a.first > b.first; });
    kudo_domain result{};
    result.key = domain_key(domain);
    std::size_t size = 0;
    for (const std::string_view label : split(is_wildcard(domain) ? std::string_view(domain).substr(2) : domain, '.')) {
        if (size + 1 + label.size() + 1 > KUDO_DOMAIN_BYTES)
            return bad_input(
                fmt::format("domain {}: longer than {} characters", quoted_text(domain), KUDO_DOMAIN_BYTES - 2));
        result.name[size] = static_cast<uint8_t>(label.size());
        std::ranges::copy(label, result.name + size + 1);
        size += 1 + label.size();
    }
    std::ranges::transform(fits, result.services, &std::pair<std::size_t, uint8_t>::second);
    return result;
}

// False: a bucket overflows.
bool fill_buckets(kudo_policy& policy, const std::vector<kudo_domain>& domains) {
    for (auto& bucket : policy.domains)
        std::ranges::fill(bucket, kudo_domain{});
    for (const kudo_domain& domain : domains) {
        auto& bucket = policy.domains[kudo_domain_bucket(domain.key, policy.domain_multiplier)];
        const auto free = std::ranges::find(bucket, uint64_t{0}, &kudo_domain::key);
        if (free == std::end(bucket)) return false;
        *free = domain;
    }
    return true;
}

void add_to_bloom(kudo_policy& policy, const std::string& domain) {
    const uint64_t ending = name_ending(domain);
    for (uint32_t hash = 0; hash < KUDO_DOMAIN_BLOOM_HASHES; hash++) {
        const uint32_t bit = kudo_domain_bloom_bit(ending, hash);
        policy.domain_bloom[bit / 64] |= 1ull << bit % 64;
    }
}

std::string name_of(const kudo_domain& domain) {
    std::string name;
    for (std::size_t at = 0; at < KUDO_DOMAIN_BYTES && domain.name[at] != 0;) {
        const std::size_t size = std::min<std::size_t>(domain.name[at], KUDO_DOMAIN_BYTES - 1 - at);
        if (!name.empty()) name += '.';
        name.append(reinterpret_cast<const char*>(domain.name) + at + 1, size);
        at += 1 + size;
    }
    return name;
}

} // namespace

std::string domain_text(const kudo_domain& domain) {
    std::string name = name_of(domain);
    return domain_key(name) == domain.key ? name : "*." + name;
}

std::vector<std::string> exact_names(const kudo_policy& policy) {
    std::vector<std::string> names;
    for (const auto& bucket : policy.domains)
        for (const kudo_domain& domain : bucket)
            if (domain.key != 0)
                if (std::string text = domain_text(domain); !text.starts_with("*.")) names.push_back(std::move(text));
    std::ranges::sort(names);
    return names;
}

Result<void> add_domains(kudo_policy& policy, const std::vector<SlottedService>& services, bool exact) {
    std::map<std::string, kudo_domain> domains;
    for (const SlottedService& service : services) {
        for (const std::string& domain : service.service->domains) {
            if (domains.contains(domain) || (exact && is_wildcard(domain))) continue;
            domains.emplace(domain, KUDO_TRY(compile_domain(domain, services, exact)));
            add_to_bloom(policy, domain);
        }
    }
    if (domains.size() > KUDO_MAX_DOMAINS)
        return bad_input(fmt::format("the services that are enabled have {} domains, more than {}", domains.size(),
                                     KUDO_MAX_DOMAINS));
    std::vector<kudo_domain> entries;
    for (const auto& [name, entry] : domains)
        entries.push_back(entry);
    // Of 256 domains in 256 buckets of four one in three multipliers overflows none; the first that does is always the
    // same.
    policy.domain_multiplier = KUDO_FNV_PRIME;
    while (!fill_buckets(policy, entries))
        policy.domain_multiplier = policy.domain_multiplier * 6364136223846793005ull | 1; // Knuth's MMIX
    return {};
}

} // namespace kudo
