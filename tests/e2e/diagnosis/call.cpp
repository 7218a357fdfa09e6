// SPDX-License-Identifier: MIT
#include "tests/e2e/diagnosis/call.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <cstring>
#include <stdexcept>
#include <thread>
#include <utility>

#include "bpf/stun.h"
#include "tests/support/stun_message.h"

namespace kudo::test {
namespace {

void put16(Bytes& bytes, uint16_t value) {
    bytes.push_back(static_cast<uint8_t>(value >> 8));
    bytes.push_back(static_cast<uint8_t>(value));
}
void put32(Bytes& bytes, uint32_t value) {
    put16(bytes, static_cast<uint16_t>(value >> 16));
    put16(bytes, static_cast<uint16_t>(value));
}

// RFC 8489 section 14.2, IPv4
Bytes success_for(std::span<const uint8_t> request, const sockaddr_in& source) {
    Bytes bytes = {0x01, 0x01, 0x00, 0x0c};
    bytes.insert(bytes.end(), request.begin() + 4, request.begin() + 20); // cookie and transaction
    put16(bytes, 0x0020);
    put16(bytes, 8);
    put16(bytes, 1); // IPv4
    put16(bytes, static_cast<uint16_t>(ntohs(source.sin_port) ^ (KUDO_STUN_COOKIE >> 16)));
    put32(bytes, ntohl(source.sin_addr.s_addr) ^ KUDO_STUN_COOKIE);
    return bytes;
}

// Refused sendings (a firewall of this host says EPERM) and unreachable ports are part of the tests.
void send_anyway(int socket, const Endpoint& to, const Bytes& bytes) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(to.port);
    inet_pton(AF_INET, to.address.c_str(), &address.sin_addr);
    [[maybe_unused]] const auto sent = sendto(socket, bytes.data(), bytes.size(), MSG_DONTWAIT,
                                              reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// The next datagram and its source; empty: none is there.
Bytes take(int socket, sockaddr_in& source) {
    Bytes bytes(2000);
    socklen_t size = sizeof source;
    const ssize_t got =
        recvfrom(socket, bytes.data(), bytes.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&source), &size);
    bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return bytes;
}

// One that reads late, as on a busy machine, loses nothing: what a call loses is what the test takes away.
Fd roomy_socket(const NetworkNamespace& space, const Endpoint& local) {
    Fd fd = udp_socket(space, local);
    const int room = 8'000'000;
    if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0)
        throw std::runtime_error("SO_RCVBUFFORCE");
    return fd;
}

bool is_rtp(const Bytes& bytes) {
    return bytes.size() >= 12 && bytes[0] >> 6 == 2;
}

} // namespace

Call::Call(const NetworkNamespace& host, const NetworkNamespace& server, CallSettings settings_)
    : settings(std::move(settings_)), host_(roomy_socket(host, settings.host)),
      server_(roomy_socket(server, settings.server)) {}

Bytes Call::next_rtp(Stream& stream, uint32_t step, bool marker, std::size_t size) {
    Bytes bytes = {0x80, static_cast<uint8_t>(stream.payload_type | (marker ? 0x80 : 0))};
    put16(bytes, stream.sequence++);
    put32(bytes, stream.timestamp);
    put32(bytes, stream.ssrc);
    bytes.resize(size, 0x5a);
    stream.timestamp += step;
    return bytes;
}

void Call::send_video() {
    constexpr unsigned parts_of_a_picture = 8;
    const bool last = ++video_packets_ % parts_of_a_picture == 0;
    Bytes bytes = next_rtp(video_, last ? 3000 : 0, last, 900);
    ++sent;
    if (settings.swap_every != 0 && video_packets_ % settings.swap_every == 0) {
        held_back_ = std::move(bytes);
        return;
    }
    send_anyway(server_.get(), peer_, bytes);
    if (settings.repeat_every != 0 && video_packets_ % settings.repeat_every == 0)
        send_anyway(server_.get(), peer_, bytes);
    if (!held_back_.empty()) send_anyway(server_.get(), peer_, std::exchange(held_back_, {}));
}

void Call::send_request() {
    Bytes bytes = stun_message(binding_request, 0, 0);
    const uint32_t transaction = next_transaction_++;
    std::memcpy(bytes.data() + 8, &transaction, sizeof transaction);
    ++requests;
    send_anyway(host_.get(), settings.server, bytes);
}

void Call::take_in_host() {
    sockaddr_in source{};
    for (Bytes bytes = take(host_.get(), source); !bytes.empty(); bytes = take(host_.get(), source))
        ++(is_rtp(bytes) ? received : responses);
}

void Call::take_in_server() {
    sockaddr_in source{};
    for (Bytes bytes = take(server_.get(), source); !bytes.empty(); bytes = take(server_.get(), source)) {
        if (is_rtp(bytes) || bytes.size() < 20) continue;
        char text[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &source.sin_addr, text, sizeof text);
        peer_ = {text, ntohs(source.sin_port)};
        ++ports_seen[peer_.port];
        answers_.push_back({Clock::now() + settings.stun_delay, peer_, success_for(bytes, source)});
    }
}

void Call::answer_due() {
    const auto now = Clock::now();
    std::erase_if(answers_, [&](const Answer& answer) {
        if (answer.due > now) return false;
        send_anyway(server_.get(), answer.to, answer.message);
        return true;
    });
}

void Call::run(std::chrono::milliseconds duration) {
    constexpr std::chrono::milliseconds step{1};
    const auto begin = Clock::now();
    double audio_due = 0, video_due = 0, uplink_due = 0; // packets
    auto next_stun = begin;
    auto before = begin;
    for (auto now = begin; now < begin + duration; now = Clock::now()) {
        const double seconds = std::chrono::duration<double>(now - before).count();
        before = now;
        if (now >= next_stun) {
            send_request();
            next_stun += settings.stun_every;
        }
        uplink_due += seconds * settings.audio_rate;
        for (; uplink_due >= 1; --uplink_due)
            send_anyway(host_.get(), settings.server, next_rtp(uplink_, 960, false, 100));
        if (peer_.port != 0) {
            audio_due += seconds * settings.audio_rate;
            video_due += seconds * settings.video_rate;
        }
        for (; audio_due >= 1; --audio_due, ++sent)
            send_anyway(server_.get(), peer_, next_rtp(audio_, 960, false, 100));
        for (; video_due >= 1; --video_due)
            send_video();
        take_in_server();
        answer_due();
        take_in_host();
        std::this_thread::sleep_for(step);
    }
    // What is on its way.
    std::this_thread::sleep_for(settings.stun_delay + std::chrono::milliseconds(20));
    take_in_server();
    answer_due();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    take_in_host();
}

} // namespace kudo::test
