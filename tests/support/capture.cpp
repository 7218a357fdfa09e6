// SPDX-License-Identifier: MIT
// AF_PACKET captures and a plain reader of frames. Used through capture.h.
// Invariant: the reader thread alone writes the frames; they are read after it has ended.
#include "tests/support/capture.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <ostream>
#include <stdexcept>
#include <system_error>

#include "tests/support/patience.h"
#include "tests/support/test_host.h"

namespace kudo::test {
namespace {

using namespace std::chrono_literals;

constexpr int receive_buffer = 256 << 20; // bytes: room for any of the tests' bursts

[[noreturn]] void fail_with_errno(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

Fd open_packet_socket(const std::string& interface) {
    Fd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!fd) fail_with_errno("AF_PACKET");
    if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof receive_buffer) != 0)
        fail_with_errno("SO_RCVBUFFORCE");
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
    if (address.sll_ifindex == 0) fail_with_errno(interface);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail_with_errno("bind");
    return fd;
}

uint16_t word(std::span<const uint8_t> bytes, std::size_t offset) {
    return static_cast<uint16_t>(bytes[offset] << 8 | bytes[offset + 1]);
}

std::string address_text(int family, const uint8_t* address) {
    char text[INET6_ADDRSTRLEN];
    return inet_ntop(family, address, text, sizeof text);
}

void see_transport(std::span<const uint8_t> transport, Seen& seen) {
    if ((seen.protocol != IPPROTO_TCP && seen.protocol != IPPROTO_UDP) || transport.size() < 8) return;
    seen.source_port = word(transport, 0);
    seen.destination_port = word(transport, 2);
    if (seen.protocol == IPPROTO_UDP) seen.payload.assign(transport.begin() + 8, transport.end());
}

} // namespace

Capture::Capture(const NetworkNamespace& space, const std::string& interface, std::size_t snap)
    : socket_(inside<Fd>(space, [&] { return open_packet_socket(interface); })), snap_(snap),
      reader_([this] { read(); }) {}

Capture::~Capture() {
    stop_ = true;
    if (reader_.joinable()) reader_.join();
}

void Capture::read() {
    Bytes buffer(1 << 17);
    while (true) {
        pollfd waiting{socket_.get(), POLLIN, 0};
        if (poll(&waiting, 1, 20) <= 0) {
            if (stop_) return;
            continue;
        }
        sockaddr_ll from{};
        socklen_t size = sizeof from;
        const ssize_t length = recvfrom(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC,
                                        reinterpret_cast<sockaddr*>(&from), &size);
        if (length < 0) continue;
        const auto whole = static_cast<std::size_t>(length);
        const std::size_t kept = std::min({whole, snap_, buffer.size()});
        const bool outgoing = from.sll_pkttype == PACKET_OUTGOING;
        frames_.push_back({Bytes(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(kept)),
                           static_cast<uint32_t>(whole), outgoing});
        (outgoing ? sent_ : received_)++;
    }
}

void Capture::wait_for_received(uint64_t count) const {
    const auto deadline = std::chrono::steady_clock::now() + patient(5s);
    while (received_ < count) {
        if (std::chrono::steady_clock::now() > deadline)
            throw std::runtime_error("only " + std::to_string(received_) + " of " + std::to_string(count) +
                                     " frames arrived");
        std::this_thread::sleep_for(20us);
    }
}

std::vector<Frame> Capture::finish() {
    for (uint64_t before = UINT64_MAX; before != received_ + sent_;) {
        before = received_ + sent_;
        std::this_thread::sleep_for(100ms);
    }
    stop_ = true;
    if (reader_.joinable()) reader_.join();
    tpacket_stats statistics{};
    socklen_t size = sizeof statistics;
    if (getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &statistics, &size) != 0)
        fail_with_errno("PACKET_STATISTICS");
    if (statistics.tp_drops != 0)
        throw std::runtime_error("the capture lost " + std::to_string(statistics.tp_drops) + " frames");
    return std::move(frames_);
}

std::optional<Seen> see_ip(std::span<const uint8_t> packet) {
    Seen seen;
    if (packet.size() >= 20 && packet[0] >> 4 == 4) {
        const std::size_t header = static_cast<std::size_t>(packet[0] & 15) * 4;
        if (packet.size() < header) return std::nullopt;
        seen.dsfield = packet[1];
        seen.l3_length = word(packet, 2);
        seen.protocol = packet[9];
        seen.source = address_text(AF_INET, &packet[12]);
        seen.destination = address_text(AF_INET, &packet[16]);
        seen.checksum_right = internet_checksum(packet.first(header)) == 0;
        see_transport(packet.subspan(header), seen);
        return seen;
    }
    if (packet.size() >= 40 && packet[0] >> 4 == 6) {
        seen.dsfield = static_cast<uint8_t>(word(packet, 0) >> 4);
        seen.flow_label = static_cast<uint32_t>(packet[1] & 15) << 16 | word(packet, 2);
        seen.l3_length = word(packet, 4) + 40u;
        seen.protocol = packet[6];
        seen.source = address_text(AF_INET6, &packet[8]);
        seen.destination = address_text(AF_INET6, &packet[24]);
        see_transport(packet.subspan(40), seen);
        return seen;
    }
    return std::nullopt;
}

std::optional<Seen> see_frame(std::span<const uint8_t> frame) {
    std::size_t offset = 12;
    while (frame.size() >= offset + 2) {
        const uint16_t type = word(frame, offset);
        offset += 2;
        if (type == ETH_P_IP || type == ETH_P_IPV6) return see_ip(frame.subspan(offset));
        if (type == ETH_P_8021Q || type == ETH_P_8021AD || type == ETH_P_QINQ1)
            offset += 2;
        else if (type == ETH_P_PPP_SES && frame.size() > offset + 8)
            return see_ip(frame.subspan(offset + 8));
        else
            return std::nullopt;
    }
    return std::nullopt;
}

std::ostream& operator<<(std::ostream& out, const Count& count) {
    return out << count.packets << " packets, " << count.bytes << " bytes";
}

Count count_between(const std::vector<Frame>& frames, uint8_t protocol, const Endpoint& from, const Endpoint& to) {
    Count count;
    for (const Frame& frame : frames) {
        const auto seen = see_frame(frame.bytes);
        if (!seen || seen->protocol != protocol || seen->source != from.address || seen->source_port != from.port ||
            seen->destination != to.address || seen->destination_port != to.port)
            continue;
        count.packets++;
        count.bytes += seen->l3_length;
    }
    return count;
}

} // namespace kudo::test
