// SPDX-License-Identifier: MIT
// A host whose drops are read back, and the ways to drop packets in it on purpose.
// Invariant: what is sent here is of KUDO's addresses, and nothing else on the line is.
#pragma once

#include <linux/bpf.h>

#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "agent/drops/drop.h"
#include "tests/e2e/link_fixture.h"

namespace kudo::test {

// Of losses that are not kudo-agent's own: layer, reason, direction.
using DropKey = std::tuple<std::string, std::string, kudo_direction>;
using DropSums = std::map<DropKey, Count>;
void PrintTo(const DropSums& sums, std::ostream* out);

class DropsTest : public LineTest {
protected:
    void SetUp() override;

    [[nodiscard]] DropReport drops() const;
    [[nodiscard]] static DropSums losses(const DropReport& report);
    // The same with the names that the running kernel can give: some places of older kernels, and before 5.17 all, give
    // no reason. A loss without one is taken for the expected one of its layer, before 5.17 of its direction.
    [[nodiscard]] static DropSums as_named_here(const DropSums& losses, const DropSums& expected);
    // Until the losses are these, at most ten seconds. As named here.
    [[nodiscard]] DropSums losses_once(const DropSums& expected) const;
    [[nodiscard]] DropSums losses_now() const { return losses(drops()); }

    // Every row, one a line: for messages.
    [[nodiscard]] static std::string text_of(const DropReport& report);

    // `count` datagrams of one flow, not waited for.
    static void flood(int socket, const Endpoint& to, unsigned count, std::size_t size);
    // What has come in, which takes it off.
    static unsigned take_all(int socket);
    // The frame with the addresses of the two ends of the line.
    [[nodiscard]] Bytes towards_host(const Packet& packet) const;
    [[nodiscard]] Bytes towards(const Packet& packet, const std::string& destination, const std::string& source) const;
    void from_far(const Packet& packet, unsigned count = 1) const;

    void sysctl(const std::string& name, const std::string& value) const; // "net/ipv4/ip_forward", in the host
    void nft(const std::string& rules) const;
    // eth1, with its other end lan1 in the far namespace.
    void add_second_interface() const;
};

// Somebody's program that drops packets of one length (with the Ethernet header) and no others.
Fd length_dropper(bpf_prog_type type, uint32_t length);

// Changes a frame's IPv4 header, checksum included.
void set_ttl(Bytes& frame, uint8_t ttl);
void dont_fragment(Bytes& frame);

inline constexpr unsigned udp_headers = 28; // IPv4 and UDP

} // namespace kudo::test
