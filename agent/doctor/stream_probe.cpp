// SPDX-License-Identifier: MIT
#include "agent/doctor/stream_probe.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "agent/stun/socket_address.h"
#include "agent/system/fd.h"

namespace kudo {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t max_response = 2048;

struct Connection {
    Fd fd;
    StunTransaction transaction = new_stun_transaction();
    Clock::time_point began{};
    std::vector<uint8_t> received{};
};

void begin_connecting(const StreamProbe& probe, Connection& connection, int& error) {
    const SocketAddress to(probe.to, probe.port);
    connection.began = Clock::now();
    connection.fd = Fd(socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!connection.fd || (connect(connection.fd.get(), to.get(), to.size) != 0 && errno != EINPROGRESS)) {
        error = errno;
        connection.fd = Fd();
    }
}

// True: nothing more is to be waited for.
bool go_on(StreamProbe& probe, Connection& connection) {
    if (!probe.connected) {
        socklen_t size = sizeof probe.error;
        getsockopt(connection.fd.get(), SOL_SOCKET, SO_ERROR, &probe.error, &size);
        if (probe.error != 0) return true;
        probe.connected = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - connection.began);
        const auto request = allocate_request(connection.transaction);
        return send(connection.fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0;
    }
    std::array<uint8_t, max_response> bytes{};
    const ssize_t got = recv(connection.fd.get(), bytes.data(), bytes.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got <= 0) {
        probe.closed = true;
        return true;
    }
    auto& received = connection.received;
    received.insert(received.end(), bytes.begin(), bytes.begin() + got);
    const auto length = stun_length(received);
    if (!length || received.size() > max_response) return true; // something else answers there
    if (*length == 0 || received.size() < *length) return false;
    probe.response = read_stun_response(std::span(received).first(*length), connection.transaction);
    return true;
}

} // namespace

void probe_streams(std::vector<StreamProbe>& probes, std::chrono::milliseconds deadline) {
    const auto end = Clock::now() + deadline;
    std::vector<Connection> connections(probes.size());
    for (std::size_t i = 0; i < probes.size(); i++)
        begin_connecting(probes[i], connections[i], probes[i].error);
    while (Clock::now() < end) {
        std::vector<pollfd> waits;
        for (std::size_t i = 0; i < probes.size(); i++)
            waits.push_back({connections[i].fd ? connections[i].fd.get() : -1,
                             static_cast<short>(probes[i].connected ? POLLIN : POLLOUT), 0});
        if (std::ranges::all_of(waits, [](const pollfd& wait) { return wait.fd < 0; })) return;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
        if (poll(waits.data(), waits.size(), static_cast<int>(std::max<int64_t>(left, 0))) <= 0) continue;
        for (std::size_t i = 0; i < probes.size(); i++)
            if (waits[i].revents != 0 && go_on(probes[i], connections[i])) connections[i].fd = Fd();
    }
    for (std::size_t i = 0; i < probes.size(); i++)
        if (connections[i].fd && !probes[i].connected) probes[i].error = ETIMEDOUT;
}

} // namespace kudo
