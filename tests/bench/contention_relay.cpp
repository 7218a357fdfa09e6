// SPDX-License-Identifier: MIT
#include "tests/bench/contention_relay.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <system_error>

#include "tests/bench/contention_delivery.h"
#include "tests/support/test_host.h"

namespace kudo::bench {

namespace {

constexpr int room = 32 << 20; // bytes
constexpr std::size_t largest_frame = 1 << 16;

Fd raw_socket(const NetworkNamespace& space, const std::string& device) {
    return test::inside<Fd>(space, [&] {
        Fd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        const int on = 1;
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(ETH_P_ALL);
        address.sll_ifindex = static_cast<int>(if_nametoindex(device.c_str()));
        if (!fd || setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0 ||
            setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0 ||
            setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) != 0 ||
            bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            throw std::system_error(errno, std::generic_category(), "a packet socket at " + device);
        return fd;
    });
}

} // namespace

DelayingWire::DelayingWire(const NetworkNamespace& space, const std::string& delayed, const std::string& prompt,
                           double delay)
    : delay_(static_cast<int64_t>(delay * 1e6)), delayed_(raw_socket(space, delayed)),
      prompt_(raw_socket(space, prompt)), buffer_(largest_frame),
      carrying_([this](const std::stop_token& stop) { carry(stop); }) {}

void DelayingWire::carry(const std::stop_token& stop) {
    before_other_threads();
    while (!stop.stop_requested()) {
        const int64_t now = now_ns();
        while (!waiting_.empty() && waiting_.front().due <= now) {
            send(prompt_.get(), waiting_.front().bytes.data(), waiting_.front().bytes.size(), 0);
            waiting_.pop_front();
        }
        const int64_t pause = waiting_.empty() ? 50'000'000 : std::min<int64_t>(waiting_.front().due - now, 50'000'000);
        const timespec timeout{0, pause};
        pollfd waits[] = {{delayed_.get(), POLLIN, 0}, {prompt_.get(), POLLIN, 0}};
        if (ppoll(waits, 2, &timeout, nullptr) <= 0) continue;
        if (waits[0].revents != 0) take_delayed();
        if (waits[1].revents != 0) pass_prompt();
    }
}

void DelayingWire::take_delayed() {
    ssize_t size = 0;
    while ((size = recv(delayed_.get(), buffer_.data(), buffer_.size(), 0)) > 0)
        waiting_.push_back({now_ns() + delay_, {buffer_.begin(), buffer_.begin() + size}});
}

void DelayingWire::pass_prompt() {
    ssize_t size = 0;
    while ((size = recv(prompt_.get(), buffer_.data(), buffer_.size(), 0)) > 0)
        send(delayed_.get(), buffer_.data(), static_cast<std::size_t>(size), 0);
}

} // namespace kudo::bench
