// SPDX-License-Identifier: MIT
#include "agent/sockets/tcp_state.h"

#include <linux/tcp.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace kudo {
namespace {

constexpr uint8_t tcp_established = 1, tcp_syn_sent = 2; // net/tcp_states.h
constexpr uint64_t unlimited = ~uint64_t{0};
// Two timeouts in a row and no acknowledgement for a second: more than a single loss.
constexpr uint32_t stall_timeouts = 2;
constexpr auto stall_time = std::chrono::seconds(1);

} // namespace

TcpState read_tcp_info(const void* bytes, std::size_t size) {
    tcp_info info{};
    std::memcpy(&info, bytes, std::min(size, sizeof info));
    // Did the kernel send this member?
    const auto has = [&](const auto& member) {
        return static_cast<std::size_t>(reinterpret_cast<const char*>(&member) - reinterpret_cast<const char*>(&info)) +
                   sizeof member <=
               size;
    };
    using Microseconds = std::chrono::microseconds;
    TcpState state;
    state.rtt = Microseconds(info.tcpi_rtt);
    state.rtt_variance = Microseconds(info.tcpi_rttvar);
    state.retransmits = info.tcpi_total_retrans;
    state.retransmitting = info.tcpi_retransmits;
    state.lost = info.tcpi_lost;
    state.unacked = info.tcpi_unacked;
    state.backoff = info.tcpi_backoff;
    state.probes = info.tcpi_probes;
    state.mss = info.tcpi_snd_mss;
    state.congestion_window = info.tcpi_snd_cwnd;
    state.since_sent = std::chrono::milliseconds(info.tcpi_last_data_sent);
    state.since_received = std::chrono::milliseconds(info.tcpi_last_data_recv);
    state.since_acknowledged = std::chrono::milliseconds(info.tcpi_last_ack_recv);
    if (has(info.tcpi_min_rtt) && info.tcpi_min_rtt != ~uint32_t{0}) state.min_rtt = Microseconds(info.tcpi_min_rtt);
    if (has(info.tcpi_pacing_rate) && info.tcpi_pacing_rate != unlimited && info.tcpi_pacing_rate != 0)
        state.pacing_rate = info.tcpi_pacing_rate;
    if (has(info.tcpi_delivery_rate) && info.tcpi_delivery_rate != 0) state.delivery_rate = info.tcpi_delivery_rate;
    if (has(info.tcpi_bytes_acked)) state.bytes_acked = info.tcpi_bytes_acked;
    if (has(info.tcpi_bytes_received)) state.bytes_received = info.tcpi_bytes_received;
    if (has(info.tcpi_bytes_sent)) state.bytes_sent = info.tcpi_bytes_sent;
    if (has(info.tcpi_bytes_retrans)) state.bytes_retransmitted = info.tcpi_bytes_retrans;
    if (has(info.tcpi_notsent_bytes)) state.not_sent = info.tcpi_notsent_bytes;
    if (has(info.tcpi_snd_wnd)) state.send_window = info.tcpi_snd_wnd;
    if (has(info.tcpi_busy_time)) state.busy = Microseconds(info.tcpi_busy_time);
    if (has(info.tcpi_rwnd_limited)) state.window_limited = Microseconds(info.tcpi_rwnd_limited);
    if (has(info.tcpi_sndbuf_limited)) state.buffer_limited = Microseconds(info.tcpi_sndbuf_limited);
    return state;
}

TcpStall stall_of(const Socket& socket) {
    if (!socket.tcp) return TcpStall::None;
    const TcpState& tcp = *socket.tcp;
    if (socket.state == tcp_syn_sent) return tcp.retransmitting > 0 ? TcpStall::Connecting : TcpStall::None;
    if (socket.state != tcp_established) return TcpStall::None;
    // Nothing is on its way, something waits, and a timer tries again and again. With a closed window these are probes,
    // which a peer that is there answers: that sets their number back, but not the backoff (tcp_ack()). With an open
    // one this host's own stack did not let the packets out (tcp_write_xmit(), tcp_send_probe0()).
    if (tcp.unacked == 0 && (tcp.probes > 0 || tcp.backoff > 0) && socket.send_queue > 0 && tcp.send_window)
        return *tcp.send_window == 0 ? TcpStall::ZeroWindow : TcpStall::NotLeaving;
    const bool timed_out = tcp.retransmitting >= stall_timeouts || tcp.backoff >= stall_timeouts;
    return tcp.unacked > 0 && timed_out && tcp.since_acknowledged >= stall_time ? TcpStall::Unanswered : TcpStall::None;
}

std::string stall_text(const Socket& socket) {
    const auto seconds = [](std::chrono::milliseconds time) {
        return std::chrono::duration_cast<std::chrono::seconds>(time).count();
    };
    switch (stall_of(socket)) {
    case TcpStall::None:
        return {};
    case TcpStall::Connecting:
        return fmt::format("no answer to the connection request, sent {} times", socket.tcp->retransmitting + 1);
    case TcpStall::NotLeaving:
        return fmt::format("{} B do not leave this host, though the peer takes them", socket.send_queue);
    case TcpStall::ZeroWindow:
        return fmt::format("the peer's receive window is closed: {} B wait to be sent", socket.send_queue);
    case TcpStall::Unanswered:
        break;
    }
    return fmt::format("no acknowledgement for {} s, {} timeouts in a row", seconds(socket.tcp->since_acknowledged),
                       std::max(socket.tcp->retransmitting, socket.tcp->backoff));
}

} // namespace kudo
