// SPDX-License-Identifier: MIT
#include "agent/netlink/bridge.h"

#include <linux/if_ether.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <array>

#include "agent/netlink/netlink.h"

namespace kudo {
namespace {

using HardwareAddress = std::array<uint8_t, ETH_ALEN>;
constexpr uint16_t default_vlan = 1; // of a bridge that filters VLANs

Result<std::optional<HardwareAddress>> hardware_address(uint32_t interface, const Address& neighbour) {
    ndmsg head{};
    head.ndm_family = neighbour.family == Family::IPv4 ? AF_INET : AF_INET6;
    head.ndm_ifindex = static_cast<int>(interface);
    const auto request = new_request(RTM_GETNEIGH, 0, head);
    if (!request || nla_put(request.get(), NDA_DST, static_cast<int>(neighbour.bits() / 8), neighbour.bytes.data()) < 0)
        return fail("cannot allocate a netlink message", ENOMEM);
    std::optional<HardwareAddress> address;
    const auto asked = transact(request.get(), [&](const nlmsghdr* header) {
        address = MessageAttributes<NDA_MAX>(header, sizeof head).value<HardwareAddress>(NDA_LLADDR);
    });
    if (!asked && asked.error().number == ENOMEM) return fail(Error(asked.error()));
    return address; // an error: no such neighbour
}

Result<std::optional<uint32_t>> port_of(uint32_t bridge, const HardwareAddress& address, uint16_t vlan) {
    ndmsg head{};
    head.ndm_family = AF_BRIDGE;
    const auto request = new_request(RTM_GETNEIGH, 0, head);
    if (!request || nla_put(request.get(), NDA_LLADDR, ETH_ALEN, address.data()) < 0 ||
        nla_put_u32(request.get(), NDA_MASTER, bridge) < 0 || (vlan && nla_put_u16(request.get(), NDA_VLAN, vlan) < 0))
        return fail("cannot allocate a netlink message", ENOMEM);
    std::optional<uint32_t> port;
    const auto asked = transact(request.get(), [&](const nlmsghdr* header) {
        const auto* entry = head_of<ndmsg>(header);
        if (!entry) return;
        const auto found = static_cast<uint32_t>(entry->ndm_ifindex);
        if (header->nlmsg_type == RTM_NEWNEIGH && found != bridge) port = found; // the bridge: its own address
    });
    if (!asked && asked.error().number == ENOMEM) return fail(Error(asked.error()));
    return port;
}

} // namespace

Result<std::optional<uint32_t>> find_bridge_port(uint32_t bridge, const Address& neighbour) {
    const auto address = KUDO_TRY(hardware_address(bridge, neighbour));
    if (!address) return std::optional<uint32_t>{};
    for (const uint16_t vlan : {uint16_t{0}, default_vlan})
        if (const auto port = KUDO_TRY(port_of(bridge, *address, vlan))) return port;
    return std::optional<uint32_t>{};
}

} // namespace kudo
