// SPDX-License-Identifier: MIT
// Interfaces whose packets pass another interface as well: bridges and bonds with their ports, VLANs and macvlans with
// what carries them, PPP.
// Invariant: of a bridge only the port towards KUDO counts, as far as the kernel knows it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/netlink/interfaces.h"
#include "agent/netlink/routes.h"

namespace kudo {

class Layers {
public:
    // `samples`: questions for addresses of KUDO's.
    static Result<Layers> read(Routes& routes, const std::vector<Interface>& all, const std::vector<Interface>& watched,
                               const std::vector<RouteQuestion>& samples);

    // What this host sends over `interface` is seen at a watched one: itself, what carries its frames, each port of it
    // that is up, or of a bridge the ports towards KUDO. Where these are not known now, one port that is watched is
    // taken for the right one.
    [[nodiscard]] bool is_seen(const Interface& interface) const;
    // The names of a bridge's ports towards KUDO; empty: not known, or no bridge.
    [[nodiscard]] std::vector<std::string> ports_to_kudo(const Interface& interface) const;
    // By ifindex, of watched ones: what goes past them, or is seen twice. Texts without a subject.
    [[nodiscard]] std::map<uint32_t, std::string> notes() const;

private:
    [[nodiscard]] bool is_watched(uint32_t index) const;
    [[nodiscard]] std::vector<const Interface*> ports_of(const Interface& interface) const; // that are up
    [[nodiscard]] std::vector<std::string> seen_again_at(const Interface& interface) const;

    std::vector<Interface> all_, watched_;
    std::map<uint32_t, std::set<uint32_t>> ports_to_kudo_; // by bridge, where they are known
};

} // namespace kudo
