// SPDX-License-Identifier: MIT
#include "agent/wireless.h"

#include <linux/genetlink.h>
#include <linux/nl80211.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <memory>

#include "agent/netlink.h"

namespace kudo {

namespace {

NlMessage generic_message(int family, uint8_t command) {
    NlMessage message(nlmsg_alloc_simple(family, NLM_F_REQUEST | NLM_F_ACK));
    genlmsghdr head{};
    head.cmd = command;
    head.version = 1;
    if (message && nlmsg_append(message.get(), &head, sizeof head, NLMSG_ALIGNTO) < 0) message.reset();
    return message;
}

int read_family(nl_msg* message, void* family) {
    const nlattr* id = nlmsg_find_attr(nlmsg_hdr(message), sizeof(genlmsghdr), CTRL_ATTR_FAMILY_ID);
    if (id) *static_cast<int*>(family) = nla_get_u16(id);
    return NL_OK;
}
int note_answer(nl_msg*, void* answered) {
    *static_cast<bool*>(answered) = true;
    return NL_OK;
}

} // namespace

bool is_wireless(uint32_t interface) {
    const NlSocket socket(nl_socket_alloc());
    if (!socket || nl_connect(socket.get(), NETLINK_GENERIC) < 0) return false;
    int family = 0;
    const NlMessage ask = generic_message(GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
    if (!ask || nla_put_string(ask.get(), CTRL_ATTR_FAMILY_NAME, NL80211_GENL_NAME) < 0) return false;
    nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, read_family, &family);
    if (nl_send_auto(socket.get(), ask.get()) < 0 || nl_recvmsgs_default(socket.get()) < 0 ||
        nl_wait_for_ack(socket.get()) < 0 || family == 0)
        return false; // no nl80211: no Wi-Fi

    bool answered = false;
    const NlMessage get = generic_message(family, NL80211_CMD_GET_INTERFACE);
    if (!get || nla_put_u32(get.get(), NL80211_ATTR_IFINDEX, interface) < 0) return false;
    nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, note_answer, &answered);
    if (nl_send_auto(socket.get(), get.get()) < 0 || nl_recvmsgs_default(socket.get()) < 0) return false;
    return answered;
}

} // namespace kudo
