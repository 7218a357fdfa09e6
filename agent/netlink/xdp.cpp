// SPDX-License-Identifier: MIT
#include "agent/netlink/xdp.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "agent/netlink/netlink.h"

namespace kudo {
namespace {

// `expected`: the descriptor of the program that is to be replaced; -1: none may be there.
Result<void> set_native_xdp(uint32_t interface, int program, int expected) {
    ifinfomsg head{};
    head.ifi_family = AF_UNSPEC;
    head.ifi_index = static_cast<int>(interface);
    const NlMessage message = new_request(RTM_SETLINK, NLM_F_ACK, head);
    nlattr* const nest = message ? nla_nest_start(message.get(), IFLA_XDP) : nullptr;
    const uint32_t flags = XDP_FLAGS_DRV_MODE | (expected < 0 ? XDP_FLAGS_UPDATE_IF_NOEXIST : XDP_FLAGS_REPLACE);
    if (!nest || nla_put_s32(message.get(), IFLA_XDP_FD, program) < 0 ||
        nla_put_u32(message.get(), IFLA_XDP_FLAGS, flags) < 0 ||
        (expected >= 0 && nla_put_s32(message.get(), IFLA_XDP_EXPECTED_FD, expected) < 0))
        return fail("cannot allocate a netlink message", ENOMEM);
    nla_nest_end(message.get(), nest);
    return transact(message.get());
}

} // namespace

std::string why_xdp_is_refused(uint32_t interface, int program) {
    constexpr int none = -1;
    const auto attached = set_native_xdp(interface, program, none);
    if (!attached) return attached.error().message;
    static_cast<void>(set_native_xdp(interface, none, program));
    return "";
}

} // namespace kudo
