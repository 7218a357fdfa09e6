// SPDX-License-Identifier: MIT
// The UDP and TCP sockets of this network namespace, read over sock_diag(7) (linux/inet_diag.h, kernel 3.3; the
// counters of receive buffers 4.7). One dump serves many flows.
// Invariant: what the kernel did not send is not there, never zero.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "maps/base/result.h"
#include "maps/net/prefix.h"

namespace kudo {

// INET_DIAG_SKMEMINFO, linux/sock_diag.h. Bytes are those that the kernel accounts: with its own overhead, for each
// packet about 700 B more than its payload.
struct SocketMemory {
    uint32_t receive_used = 0;   // waiting to be read (SK_MEMINFO_RMEM_ALLOC)
    uint32_t receive_buffer = 0; // SO_RCVBUF as the kernel keeps it, twice what was asked for (SK_MEMINFO_RCVBUF)
    uint32_t send_used = 0, send_buffer = 0;
    std::optional<uint32_t> drops{}; // packets that found no room, or failed a check, since the socket exists (4.7)
};

// struct tcp_info, linux/tcp.h.
struct TcpState {
    std::chrono::microseconds rtt{}, rtt_variance{};
    std::optional<std::chrono::microseconds> min_rtt{}; // nothing: not measured yet, or a kernel before 4.6
    uint32_t retransmits = 0;                // segments sent again, since the connection exists (tcpi_total_retrans)
    uint32_t retransmitting = 0;             // consecutive timeouts without an acknowledgement (tcpi_retransmits)
    uint32_t lost = 0, unacked = 0;          // segments now
    uint32_t backoff = 0, probes = 0;        // doublings of the timeout; zero-window probes without an answer
    uint32_t mss = 0;                        // bytes, sending (tcpi_snd_mss)
    uint32_t congestion_window = 0;          // segments
    std::optional<uint64_t> pacing_rate{};   // bytes a second; nothing: not limited or not told
    std::optional<uint64_t> delivery_rate{}; // bytes a second
    std::optional<uint64_t> bytes_sent{}, bytes_acked{}, bytes_received{}, bytes_retransmitted{};
    std::optional<uint32_t> send_window{}; // bytes that the peer takes now (5.4)
    std::optional<uint32_t> not_sent{};    // bytes in the send queue that have never been sent
    // For how long in all it was sending, was held up by the peer's window, by its own send buffer.
    std::optional<std::chrono::microseconds> busy{}, window_limited{}, buffer_limited{};
    std::chrono::milliseconds since_sent{}, since_received{}, since_acknowledged{}; // data, data, acknowledgement
};

// Why a connection stands still, as facts.
enum class TcpStall {
    None,
    Unanswered, // data is unacknowledged, and timeouts have followed each other without an answer
    NotLeaving, // data waits though the peer takes more: this host itself refuses to send it (a firewall, a route)
    ZeroWindow, // the peer's receive window is closed: its application does not read
    Connecting, // a SYN has been sent again without an answer
};

struct Socket {
    uint8_t protocol = 0;                     // IPPROTO_UDP or IPPROTO_TCP
    Family family = Family::IPv4;             // of the socket: an IPv6 one may carry IPv4 as well
    Address local;                            // all zero: any
    Address remote;                           // all zero: not connected. IPv4-mapped addresses as IPv4 in both
    uint16_t local_port = 0, remote_port = 0; // host order; 0: none
    std::optional<bool> only_v6{};            // of an IPv6 socket: IPV6_V6ONLY
    uint8_t state = 0;          // TCP_ESTABLISHED 1, ... TCP_CLOSE 7, TCP_LISTEN 10; UDP: 1 connected, else 7
    uint32_t interface = 0;     // ifindex that it is bound to; 0: none
    uint32_t inode = 0;         // 0: no process has it any more
    uint32_t uid = 0;           // of whoever made it
    uint64_t cookie = 0;        // its own as long as the kernel runs
    uint32_t receive_queue = 0; // bytes: UDP with overhead, TCP not yet read (of a listener: connections)
    uint32_t send_queue = 0;    // bytes: TCP not acknowledged (of a listener: the backlog)
    std::optional<SocketMemory> memory{};
    std::optional<TcpState> tcp{}; // not of listeners and those in TIME_WAIT
};

TcpStall stall_of(const Socket& socket);
// "no acknowledgement for 12 s, 4 timeouts in a row"; empty: none.
std::string stall_text(const Socket& socket);

class Sockets {
public:
    // All of both families. `protocols`: IPPROTO_UDP, IPPROTO_TCP. Needs no capability; the kernel tells everybody.
    // Errors: Failed, with the kernel's reason (no udp_diag or tcp_diag: ENOENT).
    static Result<Sockets> read(std::span<const uint8_t> protocols);
    // Only those with one of these local ports, chosen by the kernel: cheaper on hosts with many sockets.
    static Result<Sockets> read(std::span<const uint8_t> protocols, std::span<const uint16_t> local_ports);

    explicit Sockets(std::vector<Socket> sockets);
    [[nodiscard]] const std::vector<Socket>& all() const { return sockets_; }

    // The sockets that a packet of the flow is, or would be, given to (udp_table lookup: compute_score()): the
    // connected one, else those bound to the local address, else those bound to any. Several: SO_REUSEPORT, or the
    // same port on several interfaces. TCP: the connection, else the listeners.
    [[nodiscard]] std::vector<const Socket*> of_flow(uint8_t protocol, const Address& local, uint16_t local_port,
                                                     const Address& remote, uint16_t remote_port) const;

private:
    std::vector<Socket> sockets_; // by protocol and local port
};

} // namespace kudo
