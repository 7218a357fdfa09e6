// SPDX-License-Identifier: MIT
// Which programs on an interface's hooks could have dropped a packet there.
// Invariant: what may not be read is left out; kudo-agent's own are never among others'.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "agent/datapath/datapath.h"
#include "agent/drops/layer.h"

namespace kudo {

class HookPrograms {
public:
    explicit HookPrograms(const DataPath& data_path);

    // Is an XDP program of this data path attached to the interface?
    [[nodiscard]] bool has_our_xdp(uint32_t interface) const;
    // "cil_from_netdev (#12)", in the order in which they run: of layer Xdp, or of Tc on one side. Of clsact filters
    // the name, which is the program's unless its owner has given another.
    [[nodiscard]] std::vector<std::string> of_others(uint32_t interface, DropLayer layer, bool ingress) const;

private:
    std::set<uint32_t> ours_; // programs of our links
};

} // namespace kudo
