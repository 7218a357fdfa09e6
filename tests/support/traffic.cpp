// SPDX-License-Identifier: MIT
// Sockets for known amounts of traffic. Used through traffic.h.
// Invariant: no call waits for ever: every socket gives up after five seconds and says so.
#include "tests/support/traffic.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cstring>
#include <system_error>
#include <thread>

#include "tests/support/patience.h"
#include "tests/support/test_host.h"

namespace kudo::test {
namespace {

// Frames on the way at a time. A veth's ring has 256 places; with XDP on it, kernels to 6.2 copy each packet into a
// page of its own, of which a socket's default buffer holds 48.
constexpr unsigned burst = 32;
constexpr int udp_segment = 103; // linux/udp.h, UDP_SEGMENT

[[noreturn]] void fail_with_errno(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;
    [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress socket_address(const Endpoint& endpoint) {
    SocketAddress result;
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    v4.sin_family = AF_INET;
    v6.sin6_family = AF_INET6;
    v4.sin_port = v6.sin6_port = htons(endpoint.port);
    if (inet_pton(AF_INET, endpoint.address.c_str(), &v4.sin_addr) == 1) {
        std::memcpy(&result.storage, &v4, sizeof v4);
        result.size = sizeof v4;
    } else if (inet_pton(AF_INET6, endpoint.address.c_str(), &v6.sin6_addr) == 1) {
        std::memcpy(&result.storage, &v6, sizeof v6);
        result.size = sizeof v6;
    } else {
        throw std::invalid_argument("not an address: " + endpoint.address);
    }
    return result;
}

// Bound to `local`. `receive_buffer`: 0 for the kernel's own choice.
Fd open_socket(const NetworkNamespace& space, const Endpoint& local, int type, int receive_buffer = 0) {
    return inside<Fd>(space, [&] {
        const SocketAddress address = socket_address(local);
        Fd fd(socket(address.storage.ss_family, type | SOCK_CLOEXEC, 0));
        if (!fd) fail_with_errno("socket");
        const timeval timeout{patient(std::chrono::seconds(5)).count(), 0};
        const int on = 1;
        if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0 ||
            setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) != 0 ||
            setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
            fail_with_errno("setsockopt");
        if (receive_buffer &&
            setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof receive_buffer) != 0)
            fail_with_errno("SO_RCVBUFFORCE");
        if (bind(fd.get(), address.get(), address.size) != 0) fail_with_errno("bind to " + local.address);
        return fd;
    });
}

void pour(int socket, uint64_t bytes) {
    const Bytes chunk(1 << 16, 0x6b);
    while (bytes > 0) {
        const ssize_t sent = send(socket, chunk.data(), std::min<uint64_t>(bytes, chunk.size()), MSG_NOSIGNAL);
        if (sent < 0) fail_with_errno("send");
        bytes -= static_cast<uint64_t>(sent);
    }
}

uint64_t drain(int socket, uint64_t bytes) {
    Bytes chunk(1 << 16);
    uint64_t received = 0;
    while (received < bytes) {
        const ssize_t got = recv(socket, chunk.data(), chunk.size(), 0);
        if (got < 0) fail_with_errno("recv");
        if (got == 0) break;
        received += static_cast<uint64_t>(got);
    }
    return received;
}

tcp_info information(int socket) {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) fail_with_errno("TCP_INFO");
    return info;
}

} // namespace

Fd udp_socket(const NetworkNamespace& space, const Endpoint& local) {
    return open_socket(space, local, SOCK_DGRAM);
}

Fd hearing_socket(const NetworkNamespace& space, const Endpoint& local, std::chrono::seconds timeout) {
    Fd fd = udp_socket(space, local);
    const int on = 1;
    const timeval limit{timeout.count(), 0};
    if (setsockopt(fd.get(), IPPROTO_IP, IP_RECVTOS, &on, sizeof on) != 0 ||
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0)
        throw std::runtime_error(std::string("setsockopt: ") + strerror(errno));
    return fd;
}

int receive_dsfield(const Fd& socket) {
    char data[64], control[64];
    iovec part{data, sizeof data};
    msghdr message{nullptr, 0, &part, 1, control, sizeof control, 0};
    if (recvmsg(socket.get(), &message, 0) <= 0) return -1;
    const cmsghdr* item = CMSG_FIRSTHDR(&message);
    return item && item->cmsg_level == IPPROTO_IP && item->cmsg_type == IP_TOS ? *CMSG_DATA(item) : -1;
}

void send_datagram(int socket, const Endpoint& to, std::span<const uint8_t> payload) {
    const SocketAddress address = socket_address(to);
    if (sendto(socket, payload.data(), payload.size(), 0, address.get(), address.size) < 0)
        fail_with_errno("sendto " + to.address);
}

std::size_t receive_datagram(int socket) {
    uint8_t byte = 0;
    const ssize_t size = recv(socket, &byte, sizeof byte, MSG_TRUNC);
    if (size < 0) fail_with_errno("recv");
    return static_cast<std::size_t>(size);
}

void send_datagrams(int from, const Endpoint& to, int receiver, unsigned count, std::size_t size) {
    const Bytes payload = Payload(size).bytes;
    for (unsigned done = 0; done < count;) {
        const unsigned now = std::min(burst, count - done);
        for (unsigned i = 0; i < now; i++)
            send_datagram(from, to, payload);
        for (unsigned i = 0; i < now; i++)
            receive_datagram(receiver);
        done += now;
    }
}

void send_segmented(int from, const Endpoint& to, std::size_t size, uint16_t segment_size) {
    SocketAddress address = socket_address(to);
    Bytes payload = Payload(size).bytes;
    iovec data{payload.data(), payload.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(uint16_t))] = {};
    msghdr message{&address.storage, address.size, &data, 1, control, sizeof control, 0};
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_UDP;
    header->cmsg_type = udp_segment;
    header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    std::memcpy(CMSG_DATA(header), &segment_size, sizeof segment_size);
    if (sendmsg(from, &message, 0) < 0) fail_with_errno("sendmsg with UDP_SEGMENT");
}

FrameSender::FrameSender(const NetworkNamespace& space, const std::string& interface)
    : socket_(inside<Fd>(space, [&] {
          Fd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
          sockaddr_ll address{};
          address.sll_family = AF_PACKET;
          address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
          if (!fd || address.sll_ifindex == 0 ||
              bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
              fail_with_errno("AF_PACKET on " + interface);
          return fd;
      })) {}

void FrameSender::send(std::span<const uint8_t> frame) const {
    if (::send(socket_.get(), frame.data(), frame.size(), 0) < 0) fail_with_errno("send a frame");
}

void FrameSender::send_many(std::span<const uint8_t> frame, unsigned count, const Capture& receiver) const {
    for (unsigned done = 0; done < count;) {
        const uint64_t before = receiver.received();
        const unsigned now = std::min(burst, count - done);
        for (unsigned i = 0; i < now; i++)
            send(frame);
        receiver.wait_for_received(before + now);
        done += now;
    }
}

TcpOutcome transfer_tcp(const TcpEnds& ends, uint64_t upload, uint64_t download) {
    const Fd listener = open_socket(ends.server_space, ends.server, SOCK_STREAM, ends.receive_buffer);
    if (listen(listener.get(), 1) != 0) fail_with_errno("listen");
    const Fd client = open_socket(ends.client_space, ends.client, SOCK_STREAM, ends.receive_buffer);
    const SocketAddress address = socket_address(ends.server);
    if (connect(client.get(), address.get(), address.size) != 0) fail_with_errno("connect to " + ends.server.address);
    const Fd server(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!server) fail_with_errno("accept");

    TcpOutcome outcome;
    std::thread serving([&] {
        try {
            outcome.uploaded = drain(server.get(), upload);
            pour(server.get(), download);
        } catch (const std::system_error&) { // seen by the amounts
        }
    });
    try {
        pour(client.get(), upload);
        outcome.downloaded = drain(client.get(), download);
    } catch (...) {
        serving.join();
        throw;
    }
    serving.join();
    const tcp_info of_client = information(client.get()), of_server = information(server.get());
    outcome.client_resent_segments = of_client.tcpi_total_retrans;
    outcome.client_resent_bytes = of_client.tcpi_bytes_retrans;
    outcome.server_resent_segments = of_server.tcpi_total_retrans;
    outcome.server_resent_bytes = of_server.tcpi_bytes_retrans;
    return outcome;
}

} // namespace kudo::test
