// SPDX-License-Identifier: MIT
// The settings and states of this network namespace that decide what becomes of a packet on its way: by them the
// causes of drops outside of firewalls are explained.
// Invariant: read only; a setting that could not be read is not there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "maps/base/result.h"
#include "maps/net/prefix.h"

namespace kudo {

// Documentation/networking/ip-sysctl.rst
struct InterfaceSettings {
    std::string name;
    uint32_t mtu = 0; // bytes of layer 3
    bool up = false;
    // Reverse path filter (RFC 3704), IPv4: 0 off, 1 strict, 2 loose. The greater of both counts.
    std::optional<int> rp_filter{}, rp_filter_all{};
    std::optional<bool> forwarding_v4{}, forwarding_v6{};
    std::optional<bool> ipv6_disabled{};

    [[nodiscard]] std::optional<int> effective_rp_filter() const;
    // "net.ipv4.conf.eth0.rp_filter is 1 (strict)": the one that decides; empty: not known.
    [[nodiscard]] std::string rp_filter_text() const;
};
Result<InterfaceSettings> read_interface_settings(const std::string& name);

// Those of the whole machine (udp_mem; rmem_* and the backlog on most kernels) are shown only in its first namespace.
struct SocketSettings {
    std::optional<uint64_t> rmem_default{}, rmem_max{}; // bytes: net.core
    struct UdpMemory {
        uint64_t low = 0, pressure = 0, high = 0; // bytes (net.ipv4.udp_mem is in pages)
    };
    std::optional<UdpMemory> udp_mem{};
    std::optional<uint64_t> udp_memory_used{}; // bytes: /proc/net/sockstat
    struct PortRange {
        uint16_t first = 0, last = 0;
    };
    std::optional<PortRange> local_ports{};       // net.ipv4.ip_local_port_range
    std::optional<uint64_t> netdev_max_backlog{}; // packets a CPU: net.core
};
SocketSettings read_socket_settings();

// What the kernel's routing says of packets to an address, and the state of the neighbour that they go to.
struct RouteState {
    enum class Kind {
        Unicast,
        Local,       // this host itself
        None,        // no route: ENETUNREACH
        Unreachable, // routes of these types: EHOSTUNREACH,
        Blackhole,   // silence,
        Prohibit,    // EACCES
        Other,       // broadcast, multicast, throw
    };
    Kind kind = Kind::None;
    std::string interface {};           // it leaves there; empty: none
    std::optional<Address> neighbour{}; // the router, or the address itself; nothing: none, or several next hops
    std::optional<uint32_t> mtu{};      // bytes: of the route or learned from ICMP, where it differs from the interface
    // linux/neighbour.h: "reachable", "stale", "delay", "probe", "failed", "incomplete", "permanent", "noarp"; empty:
    // no entry. "failed" and "incomplete": it does not answer ARP or neighbour discovery.
    std::string neighbour_state{};
    std::optional<Address> source{}; // what the kernel takes as this host's address there; nothing: it has none
};
Result<RouteState> read_route_state(const Address& to, const std::optional<Address>& from = {}, uint32_t mark = 0);

// "blackhole route", "no route", "via 10.0.0.1 on eth0, which does not answer (failed)"
std::string route_text(const RouteState& state);

} // namespace kudo
