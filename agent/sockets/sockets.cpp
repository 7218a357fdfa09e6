// SPDX-License-Identifier: MIT
#include "agent/sockets/sockets.h"

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "agent/netlink/netlink.h"
#include "agent/sockets/tcp_state.h"

namespace kudo {
namespace {

constexpr uint8_t tcp_listen = 10; // net/tcp_states.h
constexpr uint32_t all_states = 0xfff;
constexpr std::size_t max_filtered_ports = 512; // more are not worth a program

Address diag_address(uint8_t family, const uint32_t* words) {
    const Address address = Address::from_bytes(family == AF_INET ? Family::IPv4 : Family::IPv6, words);
    return ipv4_of_mapped(address).value_or(address);
}

bool is_any(const Address& address) {
    return std::ranges::all_of(address.bytes, [](uint8_t byte) { return byte == 0; });
}

// INET_DIAG_SKMEMINFO: as many numbers as the kernel knows (sock_diag_put_meminfo()).
std::optional<SocketMemory> read_memory(const nlattr* attribute) {
    uint32_t values[SK_MEMINFO_DROPS + 1] = {};
    if (!attribute || nla_len(attribute) < static_cast<int>(SK_MEMINFO_DROPS * sizeof(uint32_t))) return std::nullopt;
    const auto size = std::min<std::size_t>(sizeof values, static_cast<std::size_t>(nla_len(attribute)));
    std::memcpy(values, nla_data(attribute), size);
    SocketMemory memory{.receive_used = values[SK_MEMINFO_RMEM_ALLOC], .receive_buffer = values[SK_MEMINFO_RCVBUF]};
    memory.send_used = values[SK_MEMINFO_WMEM_ALLOC];
    memory.send_buffer = values[SK_MEMINFO_SNDBUF];
    if (size == sizeof values) memory.drops = values[SK_MEMINFO_DROPS];
    return memory;
}

Socket read_socket(const nlmsghdr* header, const inet_diag_msg* message, uint8_t protocol) {
    const MessageAttributes<INET_DIAG_MAX> attributes(header, sizeof *message);
    Socket socket{.protocol = protocol, .family = message->idiag_family == AF_INET ? Family::IPv4 : Family::IPv6};
    socket.local = diag_address(message->idiag_family, message->id.idiag_src);
    socket.remote = diag_address(message->idiag_family, message->id.idiag_dst);
    socket.local_port = ntohs(message->id.idiag_sport);
    socket.remote_port = ntohs(message->id.idiag_dport);
    if (const auto only = attributes.value<uint8_t>(INET_DIAG_SKV6ONLY)) socket.only_v6 = *only != 0;
    socket.state = message->idiag_state;
    socket.interface = message->id.idiag_if;
    socket.inode = message->idiag_inode;
    socket.uid = message->idiag_uid;
    socket.cookie = uint64_t{message->id.idiag_cookie[1]} << 32 | message->id.idiag_cookie[0];
    socket.receive_queue = message->idiag_rqueue;
    socket.send_queue = message->idiag_wqueue;
    socket.memory = read_memory(attributes.at(INET_DIAG_SKMEMINFO));
    const nlattr* info = attributes.at(INET_DIAG_INFO);
    if (protocol == IPPROTO_TCP && info && socket.state != tcp_listen)
        socket.tcp = read_tcp_info(nla_data(info), static_cast<std::size_t>(nla_len(info)));
    return socket;
}

// A program of inet_diag_bc_run(): the local port is one of these. For each port two comparisons, of two operations
// each (the second holds the port): at least, at most; both true leads to the end, which accepts.
std::vector<inet_diag_bc_op> port_filter(std::span<const uint16_t> ports) {
    constexpr int size = sizeof(inet_diag_bc_op), test = 4 * size + size; // two comparisons and a jump
    std::vector<inet_diag_bc_op> program;
    const auto add_comparison = [&](uint8_t code, uint16_t port, int if_not) {
        program.push_back({code, 2 * size, static_cast<uint16_t>(if_not)});
        program.push_back({0, 0, port});
    };
    for (std::size_t index = 0; index < ports.size(); index++) {
        const int left = static_cast<int>(ports.size() - index) * test; // to the end
        // Not this one: to the next test; behind the last, beyond the end, which refuses.
        const int behind = index + 1 == ports.size() ? size : 0;
        add_comparison(INET_DIAG_BC_S_GE, ports[index], test + behind);
        add_comparison(INET_DIAG_BC_S_LE, ports[index], test - 2 * size + behind);
        program.push_back({INET_DIAG_BC_JMP, size, static_cast<uint16_t>(left - 4 * size)});
    }
    return program;
}

Result<void> dump_sockets(nl_sock* netlink, uint8_t family, uint8_t protocol, std::span<const uint16_t> ports,
                          std::vector<Socket>& sockets) {
    inet_diag_req_v2 head{};
    head.sdiag_family = family;
    head.sdiag_protocol = protocol;
    head.idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1) | 1 << (INET_DIAG_INFO - 1);
    head.idiag_states = all_states;
    const auto request = new_request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, head);
    if (!request) return fail("cannot allocate a netlink message", ENOMEM);
    if (!ports.empty() && ports.size() <= max_filtered_ports) {
        auto program = port_filter(ports);
        if (nla_put(request.get(), INET_DIAG_REQ_BYTECODE, static_cast<int>(program.size() * sizeof program[0]),
                    program.data()) < 0)
            return fail("cannot allocate a netlink message", ENOMEM);
    }
    return transact(netlink, request.get(), [&](const nlmsghdr* message) {
        const auto* socket = head_of<inet_diag_msg>(message);
        if (socket && message->nlmsg_type == SOCK_DIAG_BY_FAMILY)
            sockets.push_back(read_socket(message, socket, protocol));
    });
}

auto key_of(const Socket& socket) {
    return std::pair(socket.protocol, socket.local_port);
}

// How well a socket fits; less than zero: not at all. As compute_score() of the kernel's tables: what is bound to more
// of the packet wins.
int score_of(const Socket& socket, const Address& local, const Address& remote, uint16_t remote_port) {
    int score = 0;
    if (!is_any(socket.local)) {
        if (socket.local != local) return -1;
        score += 4;
    } else if (socket.family != local.family) {
        // An IPv6 socket takes IPv4 too, unless it was told not to.
        if (socket.family == Family::IPv4 || socket.only_v6.value_or(false)) return -1;
    } else if (socket.family == Family::IPv4)
        score += 1;
    if (socket.remote_port != 0 || !is_any(socket.remote)) {
        if (socket.remote != remote || socket.remote_port != remote_port) return -1;
        score += 8;
    }
    return score;
}

} // namespace

Sockets::Sockets(std::vector<Socket> sockets) : sockets_(std::move(sockets)) {
    std::ranges::stable_sort(sockets_, {}, key_of);
}

Result<Sockets> Sockets::read(std::span<const uint8_t> protocols) {
    return read(protocols, {});
}

Result<Sockets> Sockets::read(std::span<const uint8_t> protocols, std::span<const uint16_t> local_ports) {
    const NlSocket netlink = KUDO_TRY(open_netlink(NETLINK_SOCK_DIAG));
    std::vector<Socket> sockets;
    for (const uint8_t protocol : protocols)
        for (const uint8_t family : {uint8_t{AF_INET}, uint8_t{AF_INET6}})
            KUDO_TRY(retry_dump([&]() -> Result<void> {
                         const std::size_t before = sockets.size();
                         auto dumped = dump_sockets(netlink.get(), family, protocol, local_ports, sockets);
                         if (!dumped) sockets.resize(before);
                         return dumped;
                     }).in("cannot read the sockets"));
    return Sockets(std::move(sockets));
}

std::vector<const Socket*> Sockets::of_flow(uint8_t protocol, const Address& local, uint16_t local_port,
                                            const Address& remote, uint16_t remote_port) const {
    const std::pair wanted(protocol, local_port);
    const auto first = std::ranges::lower_bound(sockets_, wanted, {}, key_of);
    std::vector<const Socket*> best;
    int best_score = 0;
    for (auto at = first; at != sockets_.end() && key_of(*at) == wanted; ++at) {
        const Socket& socket = *at;
        const int score = score_of(socket, local, remote, remote_port);
        if (score < 0 || score < best_score) continue;
        if (score > best_score) best.clear();
        best_score = score;
        best.push_back(&socket);
    }
    return best;
}

} // namespace kudo
