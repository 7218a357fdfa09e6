// SPDX-License-Identifier: MIT
// A call between an application on the host and a media server, in real time: RTP both ways, STUN from the host, which
// the server answers with the address that it sees. Invariant: one thread; what is sent and received is counted; the
// server sends to where the last STUN request came from.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>

#include "tests/support/traffic.h"

namespace kudo::test {

struct CallSettings {
    Endpoint host, server;
    unsigned audio_rate = 50,
             video_rate = 250; // packets a second from the server; the host sends audio at the same rate
    std::chrono::milliseconds stun_every{250};
    std::chrono::milliseconds stun_delay{0}; // the server's, before it answers
    unsigned swap_every = 0,
             repeat_every = 0; // of so many packets of video one changes place with the next, or comes twice
};

class Call {
public:
    Call(const NetworkNamespace& host, const NetworkNamespace& server, CallSettings settings);

    CallSettings settings; // may be changed between runs
    // Goes on for so long; sequence numbers continue.
    void run(std::chrono::milliseconds duration);
    void close_host() { host_ = Fd(); } // the application ends while the server goes on

    uint64_t sent = 0, received = 0;         // media, from the server to the host
    uint64_t requests = 0, responses = 0;    // STUN, of the host, and what came back to it
    std::map<uint16_t, uint64_t> ports_seen; // by the server: from which ports requests came

private:
    using Clock = std::chrono::steady_clock;
    struct Stream {
        uint32_t ssrc;
        uint16_t sequence;
        uint32_t timestamp;
        uint8_t payload_type;
    };
    void send_video();
    static Bytes next_rtp(Stream& stream, uint32_t step, bool marker, std::size_t size);
    void send_request();
    void take_in_host();
    void take_in_server();
    void answer_due();

    Fd host_, server_;
    Stream audio_{0xa0d10001, 65000, 1000, 111}, video_{0x51de0002, 100, 90000, 96}, uplink_{0xa0d10003, 7, 5000, 111};
    unsigned video_packets_ = 0;
    Bytes held_back_; // a packet that comes after the next one
    uint32_t next_transaction_ = 1;
    Endpoint peer_{}; // of the server; no port: none yet
    struct Answer {
        Clock::time_point due;
        Endpoint to;
        Bytes message;
    };
    std::vector<Answer> answers_;
};

} // namespace kudo::test
