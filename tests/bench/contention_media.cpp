// SPDX-License-Identifier: MIT
#include "tests/bench/contention_media.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "tests/support/ipv4_address.h"

namespace kudo::bench {

namespace {

using test::ipv4_address;

constexpr uint16_t turn_port = 3478, first_host_port = 40000;
constexpr uint32_t first_ssrc = 0x4b55444f;
constexpr int64_t second = 1'000'000'000;
constexpr std::size_t audio_payload = 160, video_payload = 1000;
constexpr unsigned audio_rate = 50, frame_rate = 25; // a second

// What the receiver needs, in the RTP payload; both ends are this process.
struct Stamp {
    uint64_t number;
    int64_t sent_at;
};
constexpr std::size_t channel_header = 4, rtp_header = 12, stamp_at = channel_header + rtp_header;
using Datagram = std::array<uint8_t, stamp_at + video_payload>;

template <typename T> void put(uint8_t* at, T value) {
    for (std::size_t i = sizeof value; i-- > 0; value = static_cast<T>(value >> 8))
        at[i] = static_cast<uint8_t>(value);
}

uint32_t get32(const uint8_t* at) {
    uint32_t value = 0;
    std::memcpy(&value, at, sizeof value);
    return ntohl(value);
}

// ChannelData around RTP. Returns its size.
std::size_t build(Datagram& datagram, const RtpStream& stream, unsigned packets_per_frame) {
    const std::size_t payload = stream.video ? video_payload : audio_payload;
    const uint64_t frame = stream.video ? stream.sent / packets_per_frame : stream.sent;
    const bool marker = stream.video && stream.sent % packets_per_frame == packets_per_frame - 1;
    put<uint16_t>(&datagram[0], 0x4001);
    put<uint16_t>(&datagram[2], static_cast<uint16_t>(rtp_header + payload));
    datagram[4] = 0x80;
    datagram[5] = static_cast<uint8_t>((stream.video ? 96 : 111) | (marker ? 0x80 : 0));
    put<uint16_t>(&datagram[6], static_cast<uint16_t>(stream.sent));
    put<uint32_t>(&datagram[8], static_cast<uint32_t>(frame * (stream.video ? 3600 : 960)));
    put<uint32_t>(&datagram[12], stream.ssrc);
    std::fill(datagram.begin() + stamp_at, datagram.end(), uint8_t{0xa5});
    return stamp_at + payload;
}

bool is_binding_request(std::span<const uint8_t> bytes) {
    return bytes.size() == 20 && get32(bytes.data()) == 0x00010000 && get32(&bytes[4]) == 0x2112a442;
}

// Binding success; its attributes nobody needs.
void answer(int socket, std::span<uint8_t> request, const sockaddr* asker, socklen_t length) {
    request[0] = 1;
    sendto(socket, request.data(), request.size(), MSG_DONTWAIT, asker, length);
}

} // namespace

MediaFlows::MediaFlows(const ContentionLine& line, Direction direction, const MediaShape& shape, double seconds)
    : direction_(direction), is_echo_(direction == Direction::Both && !shape.conversation),
      packets_per_frame_(shape.packets_per_frame),
      server_(roomy_socket(line.server(), SOCK_DGRAM, {ContentionLine::media, turn_port})) {
    for (std::size_t flow = 0; flow < shape.flows; flow++) {
        const auto port = static_cast<uint16_t>(first_host_port + flow);
        host_.push_back(roomy_socket(line.host(), SOCK_DGRAM, {ContentionLine::local, port}));
        for (const auto& [from_host, video] : {std::pair(true, false), {true, true}, {false, false}, {false, true}}) {
            if (from_host ? direction == Direction::Downlink : direction == Direction::Uplink || is_echo_) continue;
            RtpStream stream{.from_host = from_host, .video = video, .flow = flow};
            stream.ssrc = first_ssrc + static_cast<uint32_t>(streams_.size());
            const unsigned rate = video ? frame_rate * packets_per_frame_ : audio_rate;
            stream.interval = second / rate;
            const auto most = static_cast<std::size_t>(seconds * rate) + rate;
            stream.sent_at.resize(most);
            stream.late.resize(most);
            stream.refused.resize(most);
            stream.delay.assign(most, -1);
            streams_.push_back(std::move(stream));
        }
    }
    say_hello();
}

// A STUN binding request from each port of the host.
void MediaFlows::say_hello() {
    const sockaddr_in to = ipv4_address(ContentionLine::media, turn_port);
    for (const Fd& socket : host_) {
        const std::array<uint8_t, 20> hello{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
        std::array<uint8_t, 64> heard{};
        pollfd wait{server_.get(), POLLIN, 0};
        if (sendto(socket.get(), hello.data(), hello.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to) <
                0 ||
            poll(&wait, 1, 5000) != 1 || recv(server_.get(), heard.data(), heard.size(), 0) < 0)
            throw std::runtime_error("the line does not carry a media flow's first packet");
    }
}

void MediaFlows::start() {
    receiver_ = std::jthread([this](const std::stop_token& stop) { receive(stop); });
    if (direction_ == Direction::Downlink || is_echo_)
        serve_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
    sender_ = std::jthread([this](const std::stop_token& stop) { send(stop); });
}

void MediaFlows::send(const std::stop_token& stop) {
    before_other_threads();
    const int64_t begin = now_ns() + second / 100;
    // No two packets at the same time: what one waits for the other would be the sender's doing, not the line's.
    for (std::size_t i = 0; i < streams_.size(); i++)
        streams_[i].next = begin + static_cast<int64_t>(i) * 5'000'000 / static_cast<int64_t>(2 * streams_.size());
    while (!stop.stop_requested() && error_ == 0) {
        RtpStream& stream = *std::ranges::min_element(streams_, {}, &RtpStream::next);
        if (stream.sent == stream.sent_at.size()) return;
        sleep_until(stream.next);
        send_packet(stream);
    }
}

void MediaFlows::send_packet(RtpStream& stream) {
    Datagram datagram;
    const std::size_t size = build(datagram, stream, packets_per_frame_);
    const sockaddr_in to =
        stream.from_host ? ipv4_address(ContentionLine::media, turn_port)
                         : ipv4_address(ContentionLine::local, static_cast<uint16_t>(first_host_port + stream.flow));
    const int socket = stream.from_host ? host_[stream.flow].get() : server_.get();
    const Stamp stamp{stream.sent, now_ns()};
    std::memcpy(&datagram[stamp_at], &stamp, sizeof stamp);
    stream.sent_at[stream.sent] = stamp.sent_at;
    stream.late[stream.sent] = stamp.sent_at - stream.next;
    if (sendto(socket, datagram.data(), size, MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0) {
        if (errno == EAGAIN || errno == ENOBUFS)
            stream.refused[stream.sent] = true;
        else
            error_ = errno;
    }
    stream.sent++;
    stream.next += stream.interval;
}

void MediaFlows::receive(const std::stop_token& stop) {
    before_other_threads();
    std::vector<pollfd> waits;
    if (direction_ != Direction::Downlink && !is_echo_) waits.push_back({server_.get(), POLLIN, 0});
    if (direction_ != Direction::Uplink)
        for (const Fd& socket : host_)
            waits.push_back({socket.get(), POLLIN, 0});
    Datagram datagram;
    while (!stop.stop_requested()) {
        poll(waits.data(), waits.size(), 50);
        for (const pollfd& wait : waits) {
            if (wait.revents == 0) continue;
            ssize_t size = 0;
            sockaddr_storage from{};
            socklen_t length = sizeof from;
            auto* const sender = reinterpret_cast<sockaddr*>(&from);
            while ((size = recvfrom(wait.fd, datagram.data(), datagram.size(), MSG_DONTWAIT, sender, &length)) > 0) {
                const std::span<uint8_t> bytes(datagram.data(), static_cast<std::size_t>(size));
                if (is_binding_request(bytes))
                    answer(wait.fd, bytes, sender, length);
                else
                    take(bytes, now_ns());
                length = sizeof from;
            }
            if (size < 0 && errno != EAGAIN) error_ = errno;
        }
    }
}

// The server's side where it does not receive the flows' media alone.
void MediaFlows::serve(const std::stop_token& stop) {
    before_other_threads();
    Datagram datagram;
    while (!stop.stop_requested()) {
        pollfd wait{server_.get(), POLLIN, 0};
        if (poll(&wait, 1, 50) <= 0) continue;
        sockaddr_storage from{};
        socklen_t length = sizeof from;
        auto* address = reinterpret_cast<sockaddr*>(&from);
        const ssize_t size = recvfrom(server_.get(), datagram.data(), datagram.size(), MSG_DONTWAIT, address, &length);
        if (size <= 0) continue;
        const std::span<uint8_t> bytes(datagram.data(), static_cast<std::size_t>(size));
        if (is_binding_request(bytes))
            answer(server_.get(), bytes, address, length);
        else if (is_echo_)
            sendto(server_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT, address, length);
    }
}

void MediaFlows::take(std::span<const uint8_t> datagram, int64_t now) {
    Stamp stamp{};
    if (datagram.size() < stamp_at + sizeof stamp) return;
    std::memcpy(&stamp, &datagram[stamp_at], sizeof stamp);
    const std::size_t index = get32(&datagram[12]) - first_ssrc;
    if (index >= streams_.size() || stamp.number >= streams_[index].delay.size()) return;
    int64_t& delay = streams_[index].delay[stamp.number];
    if (delay >= 0) return; // twice
    delay = now - stamp.sent_at;
    received_++;
}

void MediaFlows::stop_sending() {
    sender_.request_stop();
    sender_.join();
}

void MediaFlows::wait_for_stragglers() {
    uint64_t sent = 0;
    for (const RtpStream& stream : streams_)
        sent += stream.sent;
    uint64_t before = received_;
    for (int64_t last_news = now_ns(); received_ < sent && now_ns() - last_news < second;) {
        sleep_until(now_ns() + second / 50);
        if (received_ != before) last_news = now_ns();
        before = received_;
    }
    receiver_.request_stop();
    receiver_.join();
    if (error_ != 0) throw std::system_error(error_, std::generic_category(), "a media flow");
}

Delivery MediaFlows::delivery(const Window& window, const std::function<bool(const RtpStream&)>& which) const {
    Delivery result;
    std::vector<int64_t> delays;
    for (const RtpStream& stream : streams_) {
        for (std::size_t i = 0; which(stream) && i < stream.sent; i++) {
            if (!window.holds(stream.sent_at[i])) continue;
            result.sent++;
            result.refused += stream.refused[i];
            if (stream.delay[i] >= 0) delays.push_back(stream.delay[i]);
        }
    }
    result.received = delays.size();
    result.lost = result.sent - result.received;
    result.delay = quantiles_of(std::move(delays));
    return result;
}

Quantiles MediaFlows::lateness(const Window& window) const {
    std::vector<int64_t> times;
    for (const RtpStream& stream : streams_)
        for (std::size_t i = 0; i < stream.sent; i++)
            if (window.holds(stream.sent_at[i])) times.push_back(stream.late[i]);
    return quantiles_of(std::move(times));
}

} // namespace kudo::bench
