// SPDX-License-Identifier: MIT
// libnl's objects as owners.
#pragma once

#include <netlink/cache.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <string_view>

#include "maps/base/result.h"

namespace kudo {

struct NlSocketFree {
    void operator()(nl_sock* socket) const { nl_socket_free(socket); }
};
struct NlCacheFree {
    void operator()(nl_cache* cache) const { nl_cache_free(cache); }
};
struct NlMessageFree {
    void operator()(nl_msg* message) const { nlmsg_free(message); }
};
using NlMessage = std::unique_ptr<nl_msg, NlMessageFree>;
using NlSocket = std::unique_ptr<nl_sock, NlSocketFree>;
using NlCache = std::unique_ptr<nl_cache, NlCacheFree>;

// `error`: libnl's, negative. The Error's number: ENODEV and EINTR (a dump that was interrupted) where it was one.
tl::unexpected<Error> netlink_error(std::string_view what, int error);

// A socket of the calling thread's network namespace.
Result<NlSocket> open_netlink(int protocol = NETLINK_ROUTE);

// Sends one request and reads the whole answer. An Error's number is the kernel's errno.
using NetlinkVisitor = std::function<void(const nlmsghdr*)>;
Result<void> transact(nl_msg* message, const NetlinkVisitor& visit = {}, int protocol = NETLINK_ROUTE);

// A dump during which something changed may lack objects or show some twice: it is asked for again. `ask` returns a
// Result, whose Error's number is EINTR then. Not for libnl's caches, which ask again by themselves.
template <typename Ask> auto until_whole(const Ask& ask) {
    constexpr int most = 10;
    auto result = ask();
    for (int asked = 1; asked < most && !result && result.error().number == EINTR; asked++)
        result = ask();
    return result;
}

} // namespace kudo
