// SPDX-License-Identifier: MIT
// libnl's objects with owners, and one request over netlink.
#pragma once

#include <netlink/attr.h>
#include <netlink/cache.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
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
using NlCache = std::unique_ptr<nl_cache, NlCacheFree>;
using NlSocket = std::unique_ptr<nl_sock, NlSocketFree>;

// `error`: libnl's, negative. The Error's number: ENODEV and EINTR (a dump that was interrupted) where it was one.
tl::unexpected<Error> netlink_error(std::string_view what, int error);

// A socket of the calling thread's network namespace.
Result<NlSocket> open_netlink(int protocol = NETLINK_ROUTE);

// Sends one request and reads the whole answer. An Error's number is the kernel's errno; its message begins with the
// kernel's own words (extended acknowledgement) where it has any.
using NetlinkVisitor = std::function<void(const nlmsghdr*)>;
Result<void> transact(nl_msg* message, const NetlinkVisitor& visit = {}, int protocol = NETLINK_ROUTE);
// The same over a socket that is kept for many.
Result<void> transact(nl_sock* socket, nl_msg* message, const NetlinkVisitor& visit);

// A request that begins with this header; null: no memory.
template <typename Header> NlMessage new_request(int type, int flags, const Header& header) {
    NlMessage message(nlmsg_alloc_simple(type, flags | NLM_F_REQUEST));
    if (message && nlmsg_append(message.get(), const_cast<Header*>(&header), sizeof header, NLMSG_ALIGNTO) < 0)
        message.reset();
    return message;
}

// The fixed header of a message, such as ifinfomsg; null: the message ends before it does.
template <typename Header> const Header* head_of(const nlmsghdr* message) {
    if (nlmsg_datalen(message) < static_cast<int>(sizeof(Header))) return nullptr;
    return static_cast<const Header*>(nlmsg_data(message));
}

// What an attribute holds. Nothing: it is not there, or too short.
template <typename T> std::optional<T> value_of(const nlattr* attribute) {
    T value{};
    if (!attribute || static_cast<std::size_t>(nla_len(attribute)) < sizeof value) return std::nullopt;
    std::memcpy(&value, nla_data(attribute), sizeof value);
    return value;
}
// Up to its first zero byte; "" if it is not there.
inline std::string text_of(const nlattr* attribute) {
    if (!attribute) return {};
    const auto* text = static_cast<const char*>(nla_data(attribute));
    return {text, strnlen(text, static_cast<std::size_t>(nla_len(attribute)))};
}

// The attributes behind a message's header, by type. Those of a type that is not asked for are passed over.
template <int max_type> class MessageAttributes {
public:
    MessageAttributes(const nlmsghdr* header, int header_size) {
        nlmsg_parse(const_cast<nlmsghdr*>(header), header_size, attributes_, max_type, nullptr);
    }
    [[nodiscard]] const nlattr* at(int type) const { return attributes_[type]; }
    template <typename T> [[nodiscard]] std::optional<T> value(int type) const {
        return value_of<T>(attributes_[type]);
    }

private:
    nlattr* attributes_[max_type + 1] = {};
};

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
