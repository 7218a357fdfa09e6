// SPDX-License-Identifier: MIT
// The network interfaces of this namespace, read over rtnetlink.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bpf/parse.h"
#include "maps/base/result.h"
#include "maps/net/prefix.h"

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

// The addresses of this host as they are now, which no range map may take.
Result<std::vector<Address>> own_addresses();

// Asked of nl80211, since /sys may show another network namespace's interfaces. False where it cannot be told.
bool is_wireless(uint32_t interface);

} // namespace kudo
