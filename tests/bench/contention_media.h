// SPDX-License-Identifier: MIT
// Media flows shaped as KUDO's: Opus-like and VP8-like RTP inside TURN ChannelData, paced, numbered and timed.
// Invariant: a packet's send time is taken right before it is handed to the kernel, and a packet is lost only when it
// has not come long after the last one did.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <thread>
#include <vector>

#include "tests/bench/contention_delivery.h"
#include "tests/bench/contention_line.h"

namespace kudo::bench {

struct MediaShape {
    unsigned flows = 1;             // bundles of an audio and a video SSRC, each with a port of its own at the host
    bool conversation = false;      // of both sides, where the direction is Both
    unsigned packets_per_frame = 8; // of about 1000 bytes, 25 frames a second, spread evenly, as WebRTC's pacer does
};

// One SSRC in one direction; the vectors are by packet.
struct RtpStream {
    bool from_host = true;
    bool video = false;
    uint32_t ssrc = 0;
    std::size_t flow = 0;
    int64_t interval = 0, next = 0; // ns
    uint64_t sent = 0;              // until now
    std::vector<int64_t> sent_at{}; // ns
    std::vector<int64_t> late{};    // ns behind the schedule
    std::vector<uint8_t> refused{}; // by the sender's own kernel
    std::vector<int64_t> delay{};   // ns, one way or of the round trip; -1: has not come
};

class MediaFlows {
public:
    // Opens the sockets; the host says hello from each of its ports. Both: the host sends, the server returns every
    // packet as it came, and the delay is that of the round trip; `conversation`: each side sends streams of its own
    // instead, and the delays are one way. `seconds`: at most so long it will send.
    MediaFlows(const ContentionLine& line, Direction direction, const MediaShape& shape, double seconds);

    void start();
    void stop_sending();
    // Until everything has come or nothing has for a second: twice what the line's queue holds. The figures below are
    // for afterwards.
    void wait_for_stragglers();

    [[nodiscard]] const std::vector<RtpStream>& streams() const { return streams_; }
    // Of the packets that these streams sent within the window.
    [[nodiscard]] Delivery delivery(const Window& window, const std::function<bool(const RtpStream&)>& which) const;
    // How late the sender itself was.
    [[nodiscard]] Quantiles lateness(const Window& window) const;

private:
    void say_hello();
    void send(const std::stop_token& stop);
    void send_packet(RtpStream& stream);
    void receive(const std::stop_token& stop);
    void serve(const std::stop_token& stop);
    void take(std::span<const uint8_t> datagram, int64_t now);

    Direction direction_;
    bool is_echo_;
    unsigned packets_per_frame_;
    std::vector<RtpStream> streams_;
    Fd server_;
    std::vector<Fd> host_; // by flow
    std::atomic<uint64_t> received_ = 0;
    std::atomic<int> error_ = 0;             // errno of what should not happen
    std::jthread receiver_, serve_, sender_; // last: they end first
};

} // namespace kudo::bench
