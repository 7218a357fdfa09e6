// SPDX-License-Identifier: MIT
#include "cli/demo/traffic.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <atomic>
#include <thread>
#include <vector>

#include <fmt/format.h>

namespace kudo {
namespace {

enum class Side { Server, Client };

// A socket of the namespace, bound or connected to the endpoint, that gives up waiting after 3 s. A server's tells the
// DSCP of what arrives.
Result<Fd> open_socket(const NetworkNamespace& space, Side side, const Endpoint& endpoint, int type) {
    Fd fd;
    KUDO_TRY(space.run([&]() -> Result<void> {
        fd = Fd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
        if (!fd) return fail_errno("socket");
        return {};
    }));
    const timeval timeout{3, 0};
    const int on = 1;
    if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0 ||
        setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) != 0 ||
        setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(fd.get(), IPPROTO_IP, IP_RECVTOS, &on, sizeof on) != 0)
        return fail_errno("setsockopt");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    inet_pton(AF_INET, endpoint.address, &address.sin_addr);
    const auto open = side == Side::Server ? bind : connect;
    if (open(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        (side == Side::Server && type == SOCK_STREAM && listen(fd.get(), 1) != 0))
        return fail_errno(fmt::format("{}:{}", endpoint.address, endpoint.port));
    return fd;
}

// Echoes datagrams until `stop`, noting the DSCP that each one arrived with.
void echo_udp(int fd, const std::atomic<bool>& stop, std::map<unsigned, unsigned>& dscp) {
    std::vector<char> buffer(65536);
    while (!stop) {
        sockaddr_in from{};
        iovec data{buffer.data(), buffer.size()};
        char control[CMSG_SPACE(sizeof(int))];
        msghdr message{&from, sizeof from, &data, 1, control, sizeof control, 0};
        const ssize_t got = recvmsg(fd, &message, 0);
        if (got <= 0) return;
        for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header))
            if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_TOS) dscp[*CMSG_DATA(header) >> 2]++;
        if (sendto(fd, buffer.data(), static_cast<std::size_t>(got), 0, reinterpret_cast<sockaddr*>(&from),
                   sizeof from) < 0)
            return;
    }
}

// Reads to the end of the stream, or sends `bytes`. Returns how many.
uint64_t drain(int fd) {
    std::vector<char> buffer(65536);
    uint64_t total = 0;
    for (ssize_t got; (got = recv(fd, buffer.data(), buffer.size(), 0)) > 0;)
        total += static_cast<uint64_t>(got);
    return total;
}
uint64_t pour(int fd, uint64_t bytes) {
    const std::vector<char> buffer(65536, 'k');
    uint64_t total = 0;
    while (total < bytes) {
        const ssize_t sent = send(fd, buffer.data(), std::min<uint64_t>(buffer.size(), bytes - total), MSG_NOSIGNAL);
        if (sent <= 0) break;
        total += static_cast<uint64_t>(sent);
    }
    shutdown(fd, SHUT_WR);
    return total;
}

} // namespace

Result<UdpOutcome> exchange_udp(const NetworkNamespace& client, const Endpoint& server, unsigned packets,
                                unsigned bytes) {
    const auto echo = KUDO_TRY(open_socket(*server.space, Side::Server, server, SOCK_DGRAM));
    const auto sender = KUDO_TRY(open_socket(client, Side::Client, server, SOCK_DGRAM));
    UdpOutcome outcome;
    std::atomic<bool> stop = false;
    std::thread echoing([&] { echo_udp(echo.get(), stop, outcome.dscp_received); });
    std::vector<char> payload(bytes, 'k');
    for (unsigned i = 0; i < packets; i++) {
        if (send(sender.get(), payload.data(), payload.size(), 0) < 0) break;
        if (recv(sender.get(), payload.data(), payload.size(), 0) < 0) break;
        outcome.answered++;
    }
    stop = true;
    shutdown(echo.get(), SHUT_RD); // wakes the receiver
    echoing.join();
    return outcome;
}

Result<uint64_t> exchange_tcp(const NetworkNamespace& client, const Endpoint& server, uint64_t bytes) {
    const auto listener = KUDO_TRY(open_socket(*server.space, Side::Server, server, SOCK_STREAM));
    std::thread serving([&] {
        const Fd connection(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (connection) pour(connection.get(), drain(connection.get()));
    });
    uint64_t received = 0;
    auto connection = open_socket(client, Side::Client, server, SOCK_STREAM);
    if (connection) {
        pour(connection->get(), bytes);
        received = drain(connection->get());
    }
    serving.join();
    if (!connection) return fail(std::move(connection.error()));
    return received;
}

} // namespace kudo
