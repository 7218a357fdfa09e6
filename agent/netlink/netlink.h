// SPDX-License-Identifier: MIT
// libnl's objects with owners, and one request over netlink.
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

// Repeats a dump that was interrupted by a change, which may lack objects or list some twice. `dump` returns a Result
// whose Error's number is EINTR then. Not for libnl's caches, which retry by themselves.
template <typename Dump> auto retry_dump(const Dump& dump) {
    constexpr int max_attempts = 10;
    auto result = dump();
    for (int attempt = 1; attempt < max_attempts && !result && result.error().number == EINTR; attempt++)
        result = dump();
    return result;
}

} // namespace kudo
