// SPDX-License-Identifier: MIT
#include "agent/netlink/counters.h"

#include <netlink/route/link.h>

#include <memory>

#include "agent/netlink/netlink.h"

namespace kudo {

Result<InterfaceCounters> read_counters(uint32_t interface) {
    auto socket = KUDO_TRY(open_netlink());
    rtnl_link* raw = nullptr;
    const int error = rtnl_link_get_kernel(socket.get(), static_cast<int>(interface), nullptr, &raw);
    if (error < 0) return netlink_error("cannot read an interface's counters", error);
    if (!raw) return fail("cannot read an interface's counters: no answer", ENODEV);
    const std::unique_ptr<rtnl_link, decltype(&rtnl_link_put)> link(raw, rtnl_link_put);
    return InterfaceCounters{rtnl_link_get_stat(raw, RTNL_LINK_RX_PACKETS),
                             rtnl_link_get_stat(raw, RTNL_LINK_TX_PACKETS)};
}

} // namespace kudo
