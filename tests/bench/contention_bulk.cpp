// SPDX-License-Identifier: MIT
#include "tests/bench/contention_bulk.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <system_error>

namespace kudo::bench {

using test::Endpoint;

namespace {

constexpr uint16_t tcp_port = 5001, flood_port = 9;
constexpr std::size_t flood_size = 1200;

void connect_to(const Fd& socket, const Endpoint& to) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(to.port);
    inet_pton(AF_INET, to.address.c_str(), &address.sin_addr);
    if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw std::system_error(errno, std::generic_category(), "connect to " + to.address);
}

} // namespace

BulkLoad::BulkLoad(const ContentionLine& line, Direction direction, Kind kind, const std::string& congestion_control,
                   double flood_mbit)
    : flood_mbit_(flood_mbit) {
    if (kind == Kind::None) return;
    if (kind == Kind::Tcp)
        open_tcp(line, direction, congestion_control);
    else
        open_flood(line, direction);
    receiving_ = std::jthread([this](const std::stop_token& stop) { receive(stop); });
    sending_ = std::jthread([this, kind](const std::stop_token& stop) {
        if (kind == Kind::Tcp)
            send_tcp(stop);
        else
            send_flood(stop);
    });
}

void BulkLoad::open_tcp(const ContentionLine& line, Direction direction, const std::string& congestion_control) {
    const Endpoint to{ContentionLine::stranger, tcp_port};
    const Fd listener = roomy_socket(line.server(), SOCK_STREAM, to);
    // Accepted sockets have the listener's.
    const auto control = [&](const Fd& socket) {
        if (setsockopt(socket.get(), IPPROTO_TCP, TCP_CONGESTION, congestion_control.data(),
                       static_cast<socklen_t>(congestion_control.size())) != 0)
            throw std::system_error(errno, std::generic_category(), congestion_control);
    };
    control(listener);
    if (listen(listener.get(), tcp_flows) != 0) throw std::system_error(errno, std::generic_category(), "listen");
    for (unsigned i = 0; i < tcp_flows; i++) {
        Fd client = roomy_socket(line.host(), SOCK_STREAM, {ContentionLine::local, 0});
        control(client);
        connect_to(client, to);
        Fd server(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!server) throw std::system_error(errno, std::generic_category(), "accept");
        const bool up = direction == Direction::Uplink;
        senders_.push_back(std::move(up ? client : server));
        receivers_.push_back(std::move(up ? server : client));
    }
}

void BulkLoad::open_flood(const ContentionLine& line, Direction direction) {
    const bool up = direction == Direction::Uplink;
    const Endpoint from{up ? ContentionLine::local : ContentionLine::stranger, up ? uint16_t{0} : flood_port};
    const Endpoint to{up ? ContentionLine::stranger : ContentionLine::local, flood_port};
    receivers_.push_back(roomy_socket(line.receiver(direction), SOCK_DGRAM, to));
    senders_.push_back(roomy_socket(line.sender(direction), SOCK_DGRAM, from));
    connect_to(senders_[0], to);
}

void BulkLoad::receive(const std::stop_token& stop) {
    std::vector<pollfd> waits;
    for (const Fd& socket : receivers_)
        waits.push_back({socket.get(), POLLIN, 0});
    std::vector<uint8_t> data(1 << 18);
    while (!stop.stop_requested()) {
        poll(waits.data(), waits.size(), 50);
        for (pollfd& wait : waits) {
            if (wait.revents == 0) continue;
            ssize_t size = 0;
            while ((size = recv(wait.fd, data.data(), data.size(), MSG_DONTWAIT)) > 0)
                received_ += static_cast<uint64_t>(size);
            if (size == 0) wait.fd = -1; // the sender has ended
        }
    }
}

void BulkLoad::send_tcp(const std::stop_token& stop) {
    const std::vector<uint8_t> data(1 << 16, 0x6b);
    std::vector<pollfd> waits;
    for (const Fd& socket : senders_)
        waits.push_back({socket.get(), POLLOUT, 0});
    while (!stop.stop_requested()) {
        poll(waits.data(), waits.size(), 50);
        for (const pollfd& wait : waits)
            if (wait.revents != 0) send(wait.fd, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

void BulkLoad::send_flood(const std::stop_token& stop) {
    using namespace std::chrono;
    const std::vector<uint8_t> data(flood_size, 0x6b);
    const auto interval = nanoseconds(static_cast<int64_t>(flood_size * 8e3 / flood_mbit_));
    // Not more than it should after a pause: what is late stays out.
    for (auto next = steady_clock::now(); !stop.stop_requested();
         next = std::max(next + interval, steady_clock::now() - milliseconds(5))) {
        std::this_thread::sleep_until(next);
        send(senders_[0].get(), data.data(), data.size(), MSG_DONTWAIT); // a full queue refuses some: that is a flood
    }
}

} // namespace kudo::bench
