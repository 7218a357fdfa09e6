// SPDX-License-Identifier: MIT
#include "agent/netlink/netlink.h"

#include <sys/socket.h>

#include <fmt/format.h>

namespace kudo {
namespace {

struct NlCallbacksFree {
    void operator()(nl_cb* callbacks) const { nl_cb_put(callbacks); }
};

struct Reply {
    const NetlinkVisitor& visit;
    int error = 0; // errno, negative
    bool ended = false;
    std::string words{}; // the kernel's, where it has any
};

// linux/netlink.h, NETLINK_EXT_ACK. The request is not sent back (NETLINK_CAP_ACK): they follow at once.
std::string words_of(const nlmsgerr* error) {
    const auto* header = reinterpret_cast<const nlmsghdr*>(reinterpret_cast<const char*>(error) - NLMSG_HDRLEN);
    if (!(header->nlmsg_flags & NLM_F_ACK_TLVS) || !(header->nlmsg_flags & NLM_F_CAPPED)) return {};
    const nlattr* text = nlmsg_find_attr(const_cast<nlmsghdr*>(header), sizeof *error, NLMSGERR_ATTR_MSG);
    if (!text) return {};
    const auto* bytes = static_cast<const char*>(nla_data(text));
    return {bytes, strnlen(bytes, static_cast<std::size_t>(nla_len(text)))};
}

int on_error(sockaddr_nl*, nlmsgerr* error, void* reply) {
    constexpr int max_errno = 4095; // linux/err.h
    static_cast<Reply*>(reply)->error = error->error >= -max_errno ? error->error : -EPROTO;
    static_cast<Reply*>(reply)->words = words_of(error);
    static_cast<Reply*>(reply)->ended = true;
    return NL_STOP;
}
int on_ack(nl_msg*, void* reply) {
    static_cast<Reply*>(reply)->ended = true;
    return NL_STOP;
}
int on_message(nl_msg* message, void* reply) {
    if (const auto& visit = static_cast<Reply*>(reply)->visit) visit(nlmsg_hdr(message));
    return NL_OK;
}

} // namespace

tl::unexpected<Error> netlink_error(std::string_view what, int error) {
    const int number = error == -NLE_NODEV ? ENODEV : error == -NLE_DUMP_INTR ? EINTR : 0;
    return fail(std::string(what) + ": " + nl_geterror(error), number);
}

Result<NlSocket> open_netlink(int protocol) {
    NlSocket socket(nl_socket_alloc());
    if (!socket) return fail("cannot allocate a netlink socket", ENOMEM);
    if (const int error = nl_connect(socket.get(), protocol); error < 0)
        return netlink_error("cannot open a netlink socket", error);
    // Where the kernel does not know these (before 4.12), it has no words.
    for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK}) {
        constexpr int on = 1;
        setsockopt(nl_socket_get_fd(socket.get()), SOL_NETLINK, option, &on, sizeof on);
    }
    return socket;
}

Result<void> transact(nl_msg* message, const NetlinkVisitor& visit, int protocol) {
    const NlSocket socket = KUDO_TRY(open_netlink(protocol));
    return transact(socket.get(), message, visit);
}

Result<void> transact(nl_sock* socket, nl_msg* message, const NetlinkVisitor& visit) {
    if (const int error = nl_send_auto(socket, message); error < 0) return netlink_error("netlink", error);
    const std::unique_ptr<nl_cb, NlCallbacksFree> callbacks(nl_cb_alloc(NL_CB_CUSTOM));
    if (!callbacks) return fail("cannot allocate netlink callbacks", ENOMEM);
    Reply reply{visit};
    nl_cb_err(callbacks.get(), NL_CB_CUSTOM, on_error, &reply);
    nl_cb_set(callbacks.get(), NL_CB_ACK, NL_CB_CUSTOM, on_ack, &reply);
    nl_cb_set(callbacks.get(), NL_CB_FINISH, NL_CB_CUSTOM, on_ack, &reply);
    nl_cb_set(callbacks.get(), NL_CB_VALID, NL_CB_CUSTOM, on_message, &reply);
    int error = 0;
    while (!reply.ended && error >= 0) // what answers a request and its acknowledgement come apart
        error = nl_recvmsgs(socket, callbacks.get());
    if (reply.error != 0 && !reply.words.empty())
        return fail(fmt::format("{} ({})", reply.words, strerror(-reply.error)), -reply.error);
    if (reply.error != 0) return fail_errno("netlink", -reply.error);
    if (error < 0) return netlink_error("netlink", error);
    return {};
}

} // namespace kudo
