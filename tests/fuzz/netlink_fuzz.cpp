// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as what netlink answers and tells. Sockets are real; what is received comes from the
// input, with the numbers of sequence that libnl waits for. Invariant: no read outside a message, no endless loop,
// whatever it says.
#include <dlfcn.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "agent/netlink/bridge.h"
#include "agent/netlink/interfaces.h"
#include "agent/netlink/link_events.h"
#include "agent/netlink/path_settings.h"
#include "agent/netlink/routes.h"
#include "agent/netlink/tc_object.h"

namespace {

// What is still to be received, and the request that it answers.
struct Input {
    const uint8_t* data = nullptr;
    std::size_t size = 0;
    uint32_t sequence = 0, port = 0;
    bool is_event = false;
};
Input input;

// A datagram: a byte that says how much of the rest (in eighths and 16 bytes), then messages.
std::size_t take_datagram(uint8_t* to, std::size_t room) {
    if (input.size < 1) return 0;
    const std::size_t wanted = std::size_t{input.data[0]} * 16 + NLMSG_HDRLEN;
    const std::size_t size = std::min({wanted, input.size - 1, room});
    std::memcpy(to, input.data + 1, size);
    input.data += 1 + size;
    input.size -= 1 + size;
    return size;
}

// Each message says whom it answers.
void address(uint8_t* datagram, std::size_t size) {
    for (std::size_t at = 0; at + sizeof(nlmsghdr) <= size;) {
        nlmsghdr header;
        std::memcpy(&header, datagram + at, sizeof header);
        header.nlmsg_seq = input.sequence;
        header.nlmsg_pid = input.port;
        std::memcpy(datagram + at, &header, sizeof header);
        if (header.nlmsg_len < sizeof header || header.nlmsg_len > size - at) return;
        at += NLMSG_ALIGN(header.nlmsg_len);
    }
}

// The end of every answer, once the input has none left.
std::size_t put_done(uint8_t* to) {
    const nlmsghdr header{.nlmsg_len = NLMSG_LENGTH(sizeof(int)),
                          .nlmsg_type = NLMSG_DONE,
                          .nlmsg_flags = NLM_F_MULTI,
                          .nlmsg_seq = input.sequence,
                          .nlmsg_pid = input.port};
    std::memcpy(to, &header, sizeof header);
    std::memset(to + sizeof header, 0, sizeof(int));
    return header.nlmsg_len;
}

struct Pending { // what MSG_PEEK has shown
    std::array<uint8_t, 4200> bytes;
    std::size_t size = 0;
};
Pending pending;

ssize_t receive(uint8_t* to, std::size_t room, int flags) {
    if (pending.size == 0) {
        pending.size = take_datagram(pending.bytes.data(), pending.bytes.size());
        address(pending.bytes.data(), pending.size);
        if (pending.size == 0 && input.is_event) return errno = EAGAIN, -1;
        if (pending.size == 0) pending.size = put_done(pending.bytes.data());
    }
    const std::size_t size = pending.size;
    if (to) std::memcpy(to, pending.bytes.data(), std::min(room, size));
    if (!(flags & MSG_PEEK)) pending.size = 0;
    return static_cast<ssize_t>(flags & MSG_TRUNC ? size : std::min(room, size));
}

} // namespace

// The program's own come before the C library's.
extern "C" ssize_t sendmsg(int, const msghdr* message, int) {
    const iovec& part = message->msg_iov[0];
    nlmsghdr header{};
    if (part.iov_len >= sizeof header) std::memcpy(&header, part.iov_base, sizeof header);
    input.sequence = header.nlmsg_seq;
    input.port = header.nlmsg_pid;
    return static_cast<ssize_t>(part.iov_len);
}

extern "C" ssize_t recvmsg(int, msghdr* message, int flags) {
    sockaddr_nl from{};
    from.nl_family = AF_NETLINK;
    if (message->msg_name && message->msg_namelen >= sizeof from) std::memcpy(message->msg_name, &from, sizeof from);
    message->msg_namelen = sizeof from;
    message->msg_flags = 0;
    message->msg_controllen = 0;
    const iovec& part = message->msg_iov[0];
    const ssize_t size = receive(static_cast<uint8_t*>(part.iov_base), part.iov_len, flags | MSG_TRUNC);
    if (size > 0 && static_cast<std::size_t>(size) > part.iov_len) message->msg_flags |= MSG_TRUNC;
    return size;
}

extern "C" ssize_t recv(int, void* to, std::size_t room, int flags) {
    return receive(static_cast<uint8_t*>(to), room, flags);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    using namespace kudo;
    if (size < 1) return 0;
    input = {.data = data + 1, .size = size - 1};
    pending.size = 0;
    const Address v4 = Address::parse("3.123.12.129").value(), v6 = Address::parse("2001:db8::1").value();
    const Address& to = data[0] & 0x80 ? v6 : v4;
    switch (data[0] % 12) {
    case 0:
        (void)list_interfaces();
        break;
    case 1:
        (void)list_addresses();
        break;
    case 2:
        (void)Routes::rule_marks();
        break;
    case 3:
        if (auto routes = Routes::open()) (void)routes->ask({.to = to, .protocol = IPPROTO_UDP, .port = 3478});
        break;
    case 4:
        if (auto routes = Routes::open()) (void)routes->next_hop({.to = to});
        break;
    case 5:
        (void)find_bridge_port(7, to);
        break;
    case 6:
        (void)has_filters(7, 0xfffffff3); // not read_counters(): libnl's own parser leaks of two links in one answer
        break;
    case 7:
        (void)list_qdiscs(7);
        break;
    case 8:
        (void)list_tc_objects(7);
        break;
    case 9:
        (void)list_filters(7, 0xfffffff3);
        break;
    case 10:
        (void)read_route_state(to, {}, 0);
        break;
    default: {
        static Result<LinkEvents> events = LinkEvents::open();
        input.is_event = true;
        if (events) (void)events->take();
    }
    }
    return 0;
}
