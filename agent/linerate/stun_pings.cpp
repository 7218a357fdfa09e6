// SPDX-License-Identifier: MIT
#include "agent/linerate/stun_pings.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "agent/stun/socket_address.h"
#include "bpf/abi.h"

namespace kudo {
namespace {

constexpr std::size_t kept_requests = 400; // 20 s of them
constexpr int max_messages = 64;           // that are read at once: whoever floods us holds nothing else up
constexpr std::chrono::nanoseconds longest = std::chrono::seconds(20);

std::chrono::nanoseconds nanoseconds(const timespec& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

std::chrono::nanoseconds wall_clock() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return nanoseconds(now);
}

} // namespace

Result<StunPings> StunPings::open(const Address& server, const Address& from, uint32_t interface) {
    const bool v4 = server.family == Family::IPv4;
    Fd fd(socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return fail_errno("no socket");
    const int on = 1;
    // No requests of a call: they are not counted as such, and keep the DSCP that they have, none.
    const uint32_t mark = KUDO_PROBE_MARK;
    if (setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0)
        return fail_errno("a mark (SO_MARK) cannot be set");
    // Only a wish: where it is refused the routes decide.
    const auto network_order = static_cast<int>(htonl(interface));
    if (v4)
        setsockopt(fd.get(), IPPROTO_IP, IP_UNICAST_IF, &network_order, sizeof network_order);
    else
        setsockopt(fd.get(), IPPROTO_IPV6, IPV6_UNICAST_IF, &network_order, sizeof network_order);
    if (setsockopt(fd.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0) return fail_errno("no times of arrival");
    // A port before the first request, so that it can be told which flow is this program's own. From the flow's own
    // address, by which its way may be chosen; one that this host only forwards has none here.
    SocketAddress local(from, 0), any = local;
    any.storage = {};
    any.storage.ss_family = local.storage.ss_family;
    if ((bind(fd.get(), local.get(), local.size) != 0 && bind(fd.get(), any.get(), any.size) != 0) ||
        getsockname(fd.get(), reinterpret_cast<sockaddr*>(&local.storage), &local.size) != 0)
        return fail_errno("no port");
    return StunPings(server, from, std::move(fd), local.port());
}

bool StunPings::send(uint32_t number) {
    const SocketAddress to(server_, port);
    Request request{.number = number, .transaction = new_stun_transaction(), .sent_at = wall_clock()};
    const auto bytes = binding_request(request.transaction);
    open_.push_back(request);
    if (open_.size() > kept_requests) open_.pop_front();
    for (int attempt = 0; attempt < 2; attempt++) // an ICMP error of before is told first
        if (sendto(fd_.get(), bytes.data(), bytes.size(), 0, to.get(), to.size) >= 0) return true;
    return false;
}

void StunPings::receive(const std::function<void(uint32_t, std::chrono::nanoseconds)>& answered) {
    for (int count = 0; count < max_messages; count++) {
        std::array<uint8_t, 1500> bytes{};
        alignas(cmsghdr) std::array<char, 256> control{};
        SocketAddress from;
        iovec part{bytes.data(), bytes.size()};
        msghdr message = from.message(part, control);
        const ssize_t got = recvmsg(fd_.get(), &message, MSG_DONTWAIT);
        if (got < 0) return;
        auto arrived = wall_clock();
        for (cmsghdr* each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each))
            if (each->cmsg_level == SOL_SOCKET && each->cmsg_type == SO_TIMESTAMPNS) {
                timespec time{};
                std::memcpy(&time, CMSG_DATA(each), sizeof time);
                arrived = nanoseconds(time);
            }
        if (from.address() != server_ || from.port() != port) continue;
        const auto request = std::ranges::find_if(open_, [&](const Request& each) {
            return is_stun_response({bytes.data(), static_cast<std::size_t>(got)}, each.transaction);
        });
        if (request == open_.end()) continue;
        const uint32_t number = request->number;
        const auto rtt = arrived - request->sent_at;
        open_.erase(request);
        if (rtt > std::chrono::nanoseconds{} && rtt < longest) answered(number, rtt); // else the clock was set
    }
}

} // namespace kudo
