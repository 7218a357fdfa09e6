// SPDX-License-Identifier: MIT
// The network interfaces of this namespace, read over rtnetlink. Included by reconcile, status and statistics.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bpf/parse.h"
#include "maps/result.h"

namespace kudo {

struct Interface {
    std::string name;
    uint32_t index = 0;
    uint32_t mtu = 1500; // bytes of layer 3
    kudo_link_layer link = KUDO_LINK_ETHERNET;
    bool supported = true;      // Ethernet (loopback included) or bare IP; not InfiniBand, 802.15.4 and their like
    bool default_route = false; // an IPv4 or IPv6 default route of the main table goes out there
};

// All of them, by index.
Result<std::vector<Interface>> list_interfaces();

} // namespace kudo
