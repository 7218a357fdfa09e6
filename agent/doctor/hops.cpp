// SPDX-License-Identifier: MIT
#include "agent/doctor/hops.h"

#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <span>

#include "agent/stun/socket_address.h"
#include "agent/stun/stun.h"
#include "agent/system/fd.h"
#include "bpf/stun.h"
#include "bpf/wire.h"

namespace kudo {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t ip_header = 20, udp_header = 8, icmp_header = 8;

struct Sent {
    Fd socket;
    uint16_t port = 0; // its own
    unsigned ttl = 0;
    uint8_t dscp = 0;
    Address from{};
};

Result<Sent> send_one(const Address& to, unsigned ttl, uint8_t dscp, uint32_t packet_mark) {
    Sent sent{Fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), 0, ttl, dscp, {}};
    if (!sent.socket) return fail_errno("no socket");
    const int limit = static_cast<int>(ttl), ds_field = dscp << 2;
    setsockopt(sent.socket.get(), IPPROTO_IP, IP_TTL, &limit, sizeof limit);
    setsockopt(sent.socket.get(), IPPROTO_IP, IP_TOS, &ds_field, sizeof ds_field);
    if (packet_mark != 0 && setsockopt(sent.socket.get(), SOL_SOCKET, SO_MARK, &packet_mark, sizeof packet_mark) != 0)
        return fail_errno("a mark (SO_MARK) cannot be set");
    const SocketAddress address(to, KUDO_STUN_PORT);
    const auto request = binding_request(new_stun_transaction());
    // Connected, so that it has a source address, which is quoted.
    if (connect(sent.socket.get(), address.get(), address.size) != 0 ||
        send(sent.socket.get(), request.data(), request.size(), 0) < 0)
        return fail_errno("cannot send");
    SocketAddress own;
    if (getsockname(sent.socket.get(), reinterpret_cast<sockaddr*>(&own.storage), &own.size) != 0)
        return fail_errno("getsockname");
    sent.port = own.port();
    sent.from = address_of_socket(own.storage).value_or(Address{});
    return sent;
}

// An ICMP time exceeded, behind its own IP header, that quotes a datagram to `to`. Nothing: it is another message.
struct Quote {
    Address router, from;
    uint16_t port = 0;
    uint8_t dscp = 0;
};
std::optional<Quote> read_quote(std::span<const uint8_t> packet, const Address& to) {
    if (packet.size() < ip_header) return std::nullopt;
    const std::size_t outer = (packet[0] & 15U) * 4;
    if (outer < ip_header || packet.size() < outer + icmp_header + ip_header + udp_header) return std::nullopt;
    if (packet[outer] != ICMP_TIME_EXCEEDED) return std::nullopt;
    const auto quoted = packet.subspan(outer + icmp_header);
    const std::size_t inner = (quoted[0] & 15U) * 4;
    if (inner < ip_header || quoted.size() < inner + udp_header || quoted[9] != IPPROTO_UDP) return std::nullopt;
    if (Address::from_bytes(Family::IPv4, quoted.data() + 16) != to) return std::nullopt;
    return Quote{Address::from_bytes(Family::IPv4, packet.data() + 12),
                 Address::from_bytes(Family::IPv4, quoted.data() + 12), kudo_load16(quoted.data() + inner),
                 static_cast<uint8_t>(quoted[1] >> 2)};
}

} // namespace

Result<std::vector<HopOutcome>> probe_hops(const Address& to, const std::vector<uint8_t>& dscps, unsigned hops,
                                           std::chrono::milliseconds deadline, uint32_t packet_mark) {
    if (to.family != Family::IPv4) return fail("only of IPv4");
    const Fd icmp(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP));
    if (!icmp && errno == EPERM)
        return fail(Error{ErrorKind::NotPermitted, "seeing what routers quote needs CAP_NET_RAW", EPERM});
    if (!icmp) return fail_errno("no raw socket");
    const auto end = Clock::now() + deadline;
    std::vector<Sent> sent;
    for (unsigned ttl = 1; ttl <= hops; ttl++)
        for (const uint8_t dscp : dscps)
            sent.push_back(KUDO_TRY(send_one(to, ttl, dscp, packet_mark)));
    std::vector<HopOutcome> outcomes;
    while (Clock::now() < end && outcomes.size() < sent.size()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
        pollfd waits{icmp.get(), POLLIN, 0};
        if (poll(&waits, 1, static_cast<int>(std::max<int64_t>(left, 0))) <= 0) continue;
        std::array<uint8_t, 2048> bytes{};
        const ssize_t got = recv(icmp.get(), bytes.data(), bytes.size(), 0);
        if (got <= 0) continue;
        const auto quote = read_quote({bytes.data(), static_cast<std::size_t>(got)}, to);
        if (!quote) continue;
        const auto of = std::ranges::find(sent, quote->port, &Sent::port);
        if (of == sent.end() || of->from != quote->from) continue;
        outcomes.push_back({.ttl = of->ttl, .router = quote->router, .sent = of->dscp, .quoted = quote->dscp});
    }
    std::ranges::sort(outcomes, {}, [](const HopOutcome& hop) { return std::pair(hop.ttl, hop.sent); });
    return outcomes;
}

} // namespace kudo
