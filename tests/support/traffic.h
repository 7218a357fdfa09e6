// SPDX-License-Identifier: MIT
// Traffic whose amount is known: datagrams, raw frames and TCP transfers between two namespaces.
// Invariant: what is sent towards a receiver is waited for in small bursts, so that no queue between the two overflows;
// what cannot be sent throws.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "agent/system/network_namespace.h"
#include "tests/support/capture.h"

namespace kudo::test {

// A UDP socket of the namespace, bound to this address; IPv4 or IPv6.
Fd udp_socket(const NetworkNamespace& space, const Endpoint& local);
// The same, which hears the DS field of what comes and waits so long for it.
Fd hearing_socket(const NetworkNamespace& space, const Endpoint& local, std::chrono::seconds timeout);
// The DS field of the datagram that came to a hearing socket; -1: none came in time.
int receive_dsfield(const Fd& socket);

void send_datagram(int socket, const Endpoint& to, std::span<const uint8_t> payload);
// The next datagram's size; throws if none comes within five seconds.
std::size_t receive_datagram(int socket);

// `count` datagrams with `size` bytes of payload from one socket to the other, each taken off there.
void send_datagrams(int from, const Endpoint& to, int receiver, unsigned count, std::size_t size);

// `size` bytes in one call, which the kernel cuts into datagrams of `segment_size` and a rest (UDP_SEGMENT).
void send_segmented(int from, const Endpoint& to, std::size_t size, uint16_t segment_size);

// Puts frames on an interface as they are.
class FrameSender {
public:
    FrameSender(const NetworkNamespace& space, const std::string& interface);
    void send(std::span<const uint8_t> frame) const;
    // `count` times the frame; `receiver` is a capture of the far end.
    void send_many(std::span<const uint8_t> frame, unsigned count, const Capture& receiver) const;

private:
    Fd socket_;
};

// A TCP connection from `client` to `server`: `upload` bytes one way, then `download` bytes the other, then its end.
struct TcpEnds {
    const NetworkNamespace& client_space;
    Endpoint client;
    const NetworkNamespace& server_space;
    Endpoint server;
    int receive_buffer =
        96 << 10; // bytes; the kernel doubles it for its own use. This keeps windows below a veth's queue
};
struct TcpOutcome {
    uint64_t uploaded = 0, downloaded = 0;                        // as received
    uint64_t client_resent_segments = 0, client_resent_bytes = 0; // TCP_INFO: what `ss -ti` shows
    uint64_t server_resent_segments = 0, server_resent_bytes = 0;
};
TcpOutcome transfer_tcp(const TcpEnds& ends, uint64_t upload, uint64_t download);

} // namespace kudo::test
