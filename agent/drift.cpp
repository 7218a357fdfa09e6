// SPDX-License-Identifier: MIT
#include "agent/drift.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include "agent/clock.h"
#include "agent/generation.h"
#include "agent/interfaces.h"
#include "maps/compile.h"

namespace kudo {

namespace {

// Of a hash that programs change meanwhile: an entry that goes may make the walk begin anew.
template <typename Key> Result<void> read_rows(int fd, Family family, std::map<Address, kudo_stray>& rows) {
    auto capacity = map_size(fd);
    if (!capacity) return fail(std::move(capacity.error()));
    Key key{}, next{};
    const Key* previous = nullptr;
    for (uint32_t steps = 0; steps < 4 * *capacity && bpf_map_get_next_key(fd, previous, &next) == 0; steps++) {
        key = next;
        previous = &key;
        kudo_stray stray{};
        if (bpf_map_lookup_elem(fd, &key, &stray) != 0) {
            if (errno == ENOENT) continue; // it had to go meanwhile
            return fail_errno("cannot read the strays");
        }
        if (stray.answers == 0) continue;
        Address remote;
        remote.family = family;
        std::memcpy(remote.bytes.data(), &key.remote, sizeof key.remote);
        rows[remote] = stray;
    }
    return {};
}

bool is_known(const CompiledPolicy& policy, const Address& address) {
    const kudo_match* match = longest_match(policy, address);
    return match && match->candidates[0].service != 0;
}

Result<std::map<uint32_t, std::string>> interface_names() {
    auto interfaces = list_interfaces();
    if (!interfaces) return fail(std::move(interfaces.error()));
    std::map<uint32_t, std::string> names;
    for (const Interface& interface : *interfaces)
        names[interface.index] = interface.name;
    return names;
}

} // namespace

Result<std::vector<StrayRemote>> read_strays(DataPath& data_path) {
    std::map<Address, kudo_stray> rows;
    KUDO_TRY(read_rows<kudo_stray4_key>(data_path.maps().strays4.get(), Family::IPv4, rows));
    KUDO_TRY(read_rows<kudo_stray6_key>(data_path.maps().strays6.get(), Family::IPv6, rows));
    std::vector<StrayRemote> strays;
    if (rows.empty()) return strays; // mostly so; the rest takes its time

    auto active = read_active(data_path);
    if (!active) return fail(std::move(active.error()));
    auto clock = TickClock::read(data_path);
    if (!clock) return fail(std::move(clock.error()));
    auto names = interface_names();
    if (!names) return fail(std::move(names.error()));
    const auto oldest = std::chrono::system_clock::now() - strays_are_kept;
    for (const auto& [remote, row] : rows) {
        const auto last_seen = clock->wall_time(row.last_answer);
        if (last_seen < oldest || is_known(active->compiled, remote)) continue;
        const auto name = names->find(row.interface);
        strays.push_back({.remote = remote,
                          .requests = row.requests,
                          .answers = row.answers,
                          .first_seen = clock->wall_time(row.first_answer),
                          .last_seen = last_seen,
                          .interface = name != names->end() ? name->second : "#" + std::to_string(row.interface)});
    }
    std::ranges::sort(strays, [](const StrayRemote& a, const StrayRemote& b) {
        return std::tie(b.last_seen, a.remote) < std::tie(a.last_seen, b.remote);
    });
    return strays;
}

void remove_known(std::vector<StrayRemote>& strays, const RangeMap& map) {
    std::erase_if(strays, [&](const StrayRemote& stray) {
        return std::ranges::any_of(map.services, [&](const Service& service) {
            return std::ranges::any_of(service.ranges,
                                       [&](const Range& range) { return range.prefix.contains(stray.remote); });
        });
    });
}

} // namespace kudo
