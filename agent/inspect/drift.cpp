// SPDX-License-Identifier: MIT
#include "agent/inspect/drift.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "agent/datapath/bpf_object.h"
#include "agent/datapath/clock.h"
#include "agent/datapath/generation.h"
#include "agent/inspect/dns_message.h"
#include "agent/inspect/dns_responses.h"
#include "agent/netlink/interfaces.h"
#include "maps/document/domain.h"
#include "maps/net/special_addresses.h"

namespace kudo {
namespace {

template <typename Key> Result<void> read_rows(int fd, Family family, std::map<Address, kudo_stray>& rows) {
    return for_each_entry<Key, kudo_stray>(fd, "the strays", [&](const Key& key, const kudo_stray& stray) {
        if (stray.responses == 0) return;
        rows[Address::from_bytes(family, &key.remote)] = stray;
    });
}

bool is_known(const CompiledPolicy& policy, const Address& address) {
    const kudo_match* match = longest_match(policy, address);
    return match && match->candidates[0].service != 0;
}

// Is it in a range of a service of class media?
bool is_media(const CompiledPolicy& policy, const Address& address) {
    const kudo_match* match = longest_match(policy, address);
    if (!match) return false;
    return std::ranges::any_of(match->candidates, [&](const kudo_candidate& candidate) -> bool {
        if (candidate.service == 0) return false;
        const kudo_service& service = policy.policy->services[candidate.service % KUDO_MAX_SERVICES];
        return std::ranges::any_of(service.ports, [](const kudo_port_rule& rule) {
            return rule.protocol != 0 && rule.class_ == KUDO_CLASS_MEDIA;
        });
    });
}

bool has(const RangeMap& map, const Address& address) {
    return std::ranges::any_of(map.services, [&](const Service& service) {
        return std::ranges::any_of(service.ranges, [&](const Range& range) { return range.prefix.contains(address); });
    });
}

// Turns the kernel's rows into what is reported.
class Reader {
public:
    static Result<Reader> make(DataPath& data_path) {
        auto active = KUDO_TRY(read_active(data_path.maps()));
        auto clock = KUDO_TRY(TickClock::read(data_path));
        auto interfaces = KUDO_TRY(list_interfaces());
        Reader reader(std::move(active), clock);
        for (const Interface& interface : interfaces)
            reader.interfaces_[interface.index] = interface.name;
        return reader;
    }

    // Nothing: too old, or the active policy has it.
    [[nodiscard]] std::optional<StrayRemote> stray(const Address& remote, const kudo_stray& row) const {
        const auto last_seen = clock_.wall_time(row.last_response);
        if (last_seen < oldest_ || is_known(active_.compiled, remote)) return std::nullopt;
        return StrayRemote{.remote = remote,
                           .requests = row.requests,
                           .answers = row.responses,
                           .first_seen = clock_.wall_time(row.first_response),
                           .last_seen = last_seen,
                           .interface = interface_name(row.interface),
                           .name = {}};
    }
    void add_names(const kudo_response& row, const DnsAnswer& answer, std::vector<NamedAddress>& names) const {
        const auto last_seen = clock_.wall_time(row.received);
        if (last_seen < oldest_) return;
        for (const Address& address : answer.addresses)
            if (!is_known(active_.compiled, address) || is_media(active_.compiled, address))
                names.push_back({answer.name, address, last_seen, interface_name(row.interface), {}});
    }

private:
    Reader(ActivePolicy active, TickClock clock) : active_(std::move(active)), clock_(clock) {}
    [[nodiscard]] std::string interface_name(uint32_t index) const {
        if (index == 0) return ""; // no program has seen it
        const auto name = interfaces_.find(index);
        return name != interfaces_.end() ? name->second : "#" + std::to_string(index);
    }

    ActivePolicy active_;
    TickClock clock_;
    std::map<uint32_t, std::string> interfaces_;
    std::chrono::system_clock::time_point oldest_ = std::chrono::system_clock::now() - drift_is_kept;
};

bool has_name(const Service& service, const std::string& name) {
    return std::ranges::find(service.domains, name) != service.domains.end();
}

// The chosen service that has this very name; of several one that has ranges. Of the names below a wildcard the map
// does not say where they are.
const Service* service_of(const std::string& name, const RangeMap& map, const CompileOptions& options) {
    const Service* found = nullptr;
    for (const Service& service : map.services)
        if (is_chosen(service, options) && has_name(service, name) && (!found || found->ranges.empty()))
            found = &service;
    return found;
}

// The chosen service of class media without this name, in whose range it is, if no range that is more specific or as
// specific is of another service.
const Service* media_around(const NamedAddress& named, const RangeMap& map, const CompileOptions& options) {
    const Service* found = nullptr;
    unsigned longest = 0;
    for (const Service& service : map.services)
        for (const Range& range : service.ranges) {
            if (!is_chosen(service, options) || !range.prefix.contains(named.address) || range.prefix.length < longest)
                continue;
            const bool is_media = service.class_ == KUDO_CLASS_MEDIA && !has_name(service, named.name);
            if (range.prefix.length > longest)
                found = is_media ? &service : nullptr;
            else if (!is_media)
                found = nullptr;
            longest = range.prefix.length;
        }
    return found;
}

// A name server that gives IPv6-only hosts a way to IPv4 puts the address behind a prefix of 96 bits (DNS64: RFC 6147,
// RFC 6052).
std::optional<Address> embedded_ipv4(const Address& address) {
    if (address.family != Family::IPv6) return std::nullopt;
    Address ipv4;
    std::copy_n(address.bytes.begin() + 12, 4, ipv4.bytes.begin());
    return ipv4;
}

} // namespace

Result<Drift> read_drift(DataPath& data_path) {
    std::map<Address, kudo_stray> rows;
    KUDO_TRY(read_rows<kudo_stray4_key>(data_path.maps().strays4.get(), Family::IPv4, rows));
    KUDO_TRY(read_rows<kudo_stray6_key>(data_path.maps().strays6.get(), Family::IPv6, rows));
    const auto answers = KUDO_TRY(read_responses(data_path));
    Drift drift;
    if (rows.empty() && answers.empty()) return drift; // mostly so; the rest takes its time

    auto reader = KUDO_TRY(Reader::make(data_path));
    for (const NamedResponse& response : answers)
        if (response.answer) reader.add_names(response.row, *response.answer, drift.moved_names);
    std::ranges::sort(drift.moved_names, [](const NamedAddress& a, const NamedAddress& b) {
        return std::tie(b.last_seen, a.name, a.address) < std::tie(a.last_seen, b.name, b.address);
    });
    std::map<Address, const NamedAddress*> by_address; // the newest of each
    for (const NamedAddress& named : drift.moved_names)
        by_address.try_emplace(named.address, &named);
    for (const auto& [remote, row] : rows) {
        auto stray = reader.stray(remote, row);
        if (!stray) continue;
        if (const auto named = by_address.find(remote); named != by_address.end()) stray->name = named->second->name;
        drift.strays.push_back(std::move(*stray));
    }
    std::ranges::sort(drift.strays, [](const StrayRemote& a, const StrayRemote& b) {
        return std::tie(b.last_seen, a.remote) < std::tie(a.last_seen, b.remote);
    });
    return drift;
}

void judge_by_map(Drift& drift, const RangeMap& map, const CompileOptions& options) {
    std::erase_if(drift.strays, [&](StrayRemote& stray) {
        const auto stands_for = [&](const std::string& domain) { return domain_fit(domain, stray.name) != 0; };
        const auto names_it = [&](const Service& service) { return std::ranges::any_of(service.domains, stands_for); };
        if (std::ranges::none_of(map.services, names_it)) stray.name.clear();
        return has(map, stray.remote);
    });
    std::erase_if(drift.moved_names, [&](NamedAddress& named) -> bool {
        const Service* service = service_of(named.name, map, options);
        if (!service) return true;
        named.service = service->name;
        if (const Service* media = media_around(named, map, options)) {
            named.within = media->name;
            return false;
        }
        if (service->ranges.empty() || has(map, named.address)) return true;
        if (special_block_at(prefix_of(named.address, named.address.bits()))) return true;
        const auto ipv4 = embedded_ipv4(named.address);
        return ipv4 && has(map, *ipv4);
    });
}

void judge_without_map(Drift& drift) {
    drift.moved_names.clear();
    for (StrayRemote& stray : drift.strays)
        stray.name.clear();
}

} // namespace kudo
