// SPDX-License-Identifier: MIT
// The network interfaces of this namespace, read over rtnetlink.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
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
    bool supported = true; // Ethernet (loopback included) or bare IP; not InfiniBand, 802.15.4 and their like
    bool up = false;
    bool loopback = false;
    bool ppp = false;
    bool bridge = false;
    uint32_t carrier = 0; // ifindex of the interface whose frames its own are: of a VLAN or macvlan; 0: none
    uint32_t master = 0;  // ifindex of the bond or bridge that it is a port of; 0: none
    std::vector<std::string> other_names{}; // `ip link property add altname`

    [[nodiscard]] bool is_called(std::string_view text) const {
        return name == text || std::ranges::find(other_names, text) != other_names.end();
    }
};

// All of them, by index.
Result<std::vector<Interface>> list_interfaces();

// The addresses of this host, and which interface each is of.
struct InterfaceAddress {
    uint32_t interface = 0;
    Address address;
};
Result<std::vector<InterfaceAddress>> list_addresses();

// The addresses of this host as they are now, which no range map may take.
Result<std::vector<Address>> own_addresses();

// Does it carry PPPoE sessions (/proc/net/pppoe)? False where the kernel has no PPPoE.
bool carries_pppoe(const std::string& name);

// Is it a Wi-Fi interface? Asked of nl80211, since /sys may show another network namespace's interfaces. False where it
// cannot be told.
bool is_wireless(uint32_t interface);

// Does a Wi-Fi interface sleep between beacons (NL80211_CMD_GET_POWER_SAVE)? Nothing: it is none, or does not tell.
std::optional<bool> wifi_power_save(uint32_t interface);

} // namespace kudo
