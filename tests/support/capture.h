// SPDX-License-Identifier: MIT
// What goes over an interface, seen by an AF_PACKET socket, and what the frames say.
// Invariant: nothing of the product's own parser is used here; a capture that lost a frame throws instead of reporting.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "agent/system/network_namespace.h"
#include "tests/support/packet_builder.h"

namespace kudo::test {

struct Frame {
    Bytes bytes;           // at most the capture's snap length; received ones without their outermost VLAN tag
    uint32_t length = 0;   // of the whole frame
    bool outgoing = false; // sent by the interface's own host
};

class Capture {
public:
    // Sees every frame of the interface from here on. `snap`: how many bytes of each to keep.
    Capture(const NetworkNamespace& space, const std::string& interface, std::size_t snap = 128);
    ~Capture();
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;

    // How many frames were received or sent until now.
    [[nodiscard]] uint64_t received() const { return received_; }
    [[nodiscard]] uint64_t sent() const { return sent_; }
    // Waits until received() reaches `count`; throws after five seconds.
    void wait_for_received(uint64_t count) const;
    // Waits until nothing has come for a tenth of a second, ends the capture and gives its frames in order.
    std::vector<Frame> finish();

private:
    void read();

    Fd socket_;
    std::size_t snap_;
    std::vector<Frame> frames_;
    std::atomic<uint64_t> received_ = 0, sent_ = 0;
    std::atomic<bool> stop_ = false;
    std::thread reader_;
};

// An IP packet, as far as the tests look at it.
struct Seen {
    uint8_t protocol = 0;
    std::string source, destination;
    uint16_t source_port = 0, destination_port = 0; // TCP and UDP
    uint8_t dsfield = 0;
    uint32_t flow_label = 0;    // IPv6
    uint32_t l3_length = 0;     // as the IP header says
    bool checksum_right = true; // of an IPv4 header; true for IPv6
    Bytes payload;              // behind the UDP header, as far as it was kept
};
// Of an IP packet; of an Ethernet frame with or without VLAN tags and PPPoE session header. None: it is something else.
std::optional<Seen> see_ip(std::span<const uint8_t> packet);
std::optional<Seen> see_frame(std::span<const uint8_t> frame);

struct Count {
    uint64_t packets = 0, bytes = 0; // of layer 3
    bool operator==(const Count&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Count& count);

// All packets of the frames from one endpoint to another.
struct Endpoint {
    std::string address;
    uint16_t port = 0;
};
Count count_between(const std::vector<Frame>& frames, uint8_t protocol, const Endpoint& from, const Endpoint& to);

} // namespace kudo::test
