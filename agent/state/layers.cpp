// SPDX-License-Identifier: MIT
#include "agent/state/layers.h"

#include <algorithm>

#include <fmt/format.h>

#include "agent/netlink/bridge.h"
#include "maps/base/text.h"

namespace kudo {
namespace {

const Interface* find(const std::vector<Interface>& list, uint32_t index) {
    const auto found = std::ranges::find(list, index, &Interface::index);
    return found == list.end() ? nullptr : &*found;
}

} // namespace

Result<Layers> Layers::read(Routes& routes, const std::vector<Interface>& all, const std::vector<Interface>& watched,
                            const std::vector<RouteQuestion>& samples) {
    Layers layers;
    layers.all_ = all;
    layers.watched_ = watched;
    if (std::ranges::none_of(all, &Interface::bridge)) return layers;
    std::set<uint32_t> unknown;
    for (const RouteQuestion& question : samples) {
        const auto hop = KUDO_TRY(routes.next_hop(question));
        const Interface* bridge = hop ? find(all, hop->interface) : nullptr;
        if (!bridge || !bridge->bridge) continue;
        if (const auto port = KUDO_TRY(find_bridge_port(bridge->index, hop->neighbour)))
            layers.ports_to_kudo_[bridge->index].insert(*port);
        else
            unknown.insert(bridge->index);
    }
    for (const uint32_t bridge : unknown) // a part of them would be taken for all
        layers.ports_to_kudo_.erase(bridge);
    return layers;
}

bool Layers::is_watched(uint32_t index) const {
    return index != 0 && find(watched_, index);
}

std::vector<const Interface*> Layers::ports_of(const Interface& interface) const {
    std::vector<const Interface*> ports;
    for (const Interface& other : all_)
        if (other.master == interface.index && other.up) ports.push_back(&other);
    return ports;
}

bool Layers::is_seen(const Interface& interface) const {
    if (is_watched(interface.index)) return true;
    if (const Interface* carrier = find(all_, interface.carrier); carrier && is_seen(*carrier)) return true;
    // Of a PPP interface the kernel does not tell which session it is, only which Ethernets carry sessions.
    if (interface.ppp)
        return std::ranges::any_of(watched_, [](const auto& other) { return carries_pppoe(other.name); });
    const auto ports = ports_of(interface);
    const auto is_port_seen = [&](const Interface* port) { return is_seen(*port); };
    if (!interface.bridge) return !ports.empty() && std::ranges::all_of(ports, is_port_seen);
    const auto known = ports_to_kudo_.find(interface.index);
    if (known == ports_to_kudo_.end()) return std::ranges::any_of(ports, is_port_seen);
    return std::ranges::all_of(known->second, [&](uint32_t index) {
        const Interface* port = find(all_, index);
        return port && is_seen(*port);
    });
}

std::vector<std::string> Layers::ports_to_kudo(const Interface& interface) const {
    std::vector<std::string> names;
    if (const auto known = ports_to_kudo_.find(interface.index); known != ports_to_kudo_.end())
        for (const uint32_t index : known->second)
            if (const Interface* port = find(all_, index)) names.push_back(port->name);
    return names;
}

std::vector<std::string> Layers::seen_again_at(const Interface& interface) const {
    std::vector<std::string> names;
    if (is_watched(interface.carrier)) names.push_back(find(all_, interface.carrier)->name);
    for (const Interface* port : ports_of(interface))
        if (is_watched(port->index)) names.push_back(port->name);
    return names;
}

std::map<uint32_t, std::string> Layers::notes() const {
    std::map<uint32_t, std::string> notes;
    for (const Interface& interface : watched_) {
        const auto again = seen_again_at(interface);
        if (!again.empty())
            notes[interface.index] =
                fmt::format("its packets pass {} as well, which is watched too: they are counted twice", joined(again));
        else if (interface.bridge && ports_of(interface).size() > 1) {
            const auto ports = ports_to_kudo(interface);
            notes[interface.index] =
                fmt::format("a bridge: what hosts behind its ports send goes past it; {}",
                            ports.empty() ? "name its port towards KUDO (--interface) in its place, which sees all"
                                          : fmt::format("--interface {} in its place sees all", joined(ports)));
        }
    }
    return notes;
}

} // namespace kudo
