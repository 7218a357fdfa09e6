// SPDX-License-Identifier: MIT
// Appends to the map in effect what others allow.
// Invariant: the services of the map in effect stay as they are, first and in their order.
#include "maps/compile/combine.h"

#include <algorithm>
#include <iterator>

#include "maps/document/coverage.h"
#include "maps/document/domain.h"

namespace kudo {
namespace {

template <typename T> bool has_all(const std::vector<T>& list, const std::vector<T>& wanted) {
    return std::ranges::all_of(wanted, [&](const T& one) { return std::ranges::find(list, one) != list.end(); });
}

bool has_all_regions(const Service& service, const Service& other) {
    return service.regions == std::vector<std::string>{"*"} || has_all(service.regions, other.regions);
}

// Does `service`, within its ranges, allow all that `other` does, and in the same class?
bool allows_as_much(const Service& service, const Service& other) {
    return service.class_ == other.class_ && (!service.optional || other.optional) &&
           has_all(service.ports, other.ports) && has_all_regions(service, other);
}

bool is_alike(const Service& service, const Service& other) {
    return allows_as_much(service, other) && allows_as_much(other, service);
}

// Those that are under none of `cover`. A name that only a wildcard covers counts as its own: `--exact-domains` has no
// wildcards.
std::vector<std::string> uncovered_domains(const std::vector<std::string>& domains,
                                           const std::vector<std::string>& cover) {
    std::vector<std::string> result;
    std::ranges::copy_if(domains, std::back_inserter(result), [&](const std::string& domain) {
        const bool wildcard = domain.starts_with("*.");
        return std::ranges::none_of(cover, [&](const std::string& other) {
            return other == domain || (wildcard && domain_fit(other, domain) != 0);
        });
    });
    return result;
}

class Combination {
public:
    explicit Combination(const RangeMap& active) : map_(active) {}

    void append(const RangeMap& other, std::string_view suffix) {
        for (const Service& service : other.services)
            append(service, suffix);
    }
    RangeMap take() { return std::move(map_); }

private:
    void append(const Service& service, std::string_view suffix) {
        std::vector<Range> cover;
        std::vector<std::string> domain_cover;
        for (const Service& present : map_.services) {
            if (parts_of(present.name).service != service.name || !allows_as_much(present, service)) continue;
            cover.insert(cover.end(), present.ranges.begin(), present.ranges.end());
            domain_cover.insert(domain_cover.end(), present.domains.begin(), present.domains.end());
        }
        const std::vector<Range> ranges = uncovered(service.ranges, cover);
        const std::vector<std::string> domains = uncovered_domains(service.domains, domain_cover);
        if (ranges.empty() && domains.empty()) return;
        Service* target = target_for(service, suffix);
        if (!target) return;
        target->ranges.insert(target->ranges.end(), ranges.begin(), ranges.end());
        std::stable_partition(target->ranges.begin(), target->ranges.end(),
                              [](const Range& range) { return range.prefix.address.family == Family::IPv4; });
        target->domains.insert(target->domains.end(), domains.begin(), domains.end());
    }

    // The appended service that is like this one, else a new one; nullptr: no more services fit.
    Service* target_for(const Service& service, std::string_view suffix) {
        std::string name = service.name + std::string(suffix);
        for (unsigned number = 2;; ++number) {
            const auto taken = std::ranges::find(map_.services, name, &Service::name);
            if (taken == map_.services.end()) break;
            if (is_alike(*taken, service)) return &*taken;
            name = service.name + std::string(suffix) + std::to_string(number);
        }
        if (map_.services.size() >= KUDO_MAX_SERVICES - 1) return nullptr;
        Service& added = map_.services.emplace_back(service);
        added.name = std::move(name);
        added.ranges.clear();
        added.domains.clear();
        return &added;
    }

    RangeMap map_;
};

} // namespace

RangeMap combine(const RangeMap& active, std::span<const RangeMap> staged, std::span<const RangeMap> retiring) {
    Combination result(active);
    for (const RangeMap& map : staged)
        result.append(map, early_suffix);
    for (const RangeMap& map : retiring)
        result.append(map, retiring_suffix);
    return result.take();
}

std::vector<Range> uncovered(std::span<const Range> prefixes, std::span<const Range> cover) {
    const Coverage coverage(cover);
    std::vector<Range> result;
    std::ranges::copy_if(prefixes, std::back_inserter(result),
                         [&](const Range& range) { return !coverage.holds(range.prefix); });
    return result;
}

ServiceNameParts parts_of(std::string_view service_name) {
    for (const std::string_view suffix : {early_suffix, retiring_suffix}) {
        const std::size_t at = service_name.rfind(suffix);
        if (at == std::string_view::npos) continue;
        const std::string_view number = service_name.substr(at + suffix.size());
        if (number.find_first_not_of("0123456789") == std::string_view::npos)
            return {service_name.substr(0, at), suffix.substr(1)};
    }
    return {service_name, ""};
}

} // namespace kudo
