// SPDX-License-Identifier: MIT
// A seeded source of odd packets: every link shape, tags, PPPoE, options, fragments, extension chains, wrong lengths,
// cuts, padding, garbage; addresses at the edges of a range map's ranges.
// Invariant: the same seed, map, link layer and direction give the same packets.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "bpf/parse.h"
#include "maps/document/range_map.h"
#include "tests/support/packet_builder.h"

namespace kudo::test {

struct OddPacket {
    Bytes bytes;
    uint32_t segment_size = 0; // what gso_size may say of it; 0: an ordinary frame
    uint32_t segments = 0;
};

// KUDO_TEST_SEED of the environment, else a new one. Print it when a test fails.
uint64_t test_seed();

class PacketGenerator {
public:
    PacketGenerator(uint64_t seed, const RangeMap& map, kudo_link_layer link, kudo_direction direction);

    OddPacket next();

private:
    uint32_t below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }
    bool chance(uint32_t percent) { return below(100) < percent; }
    template <typename T> const T& one_of(const std::vector<T>& list) {
        return list[below(static_cast<uint32_t>(list.size()))];
    }
    Bytes noise(uint32_t size);
    uint16_t port();
    void add_link(Packet& packet);
    void add_ipv4(Packet& packet, bool is_gso);
    void add_ipv6(Packet& packet, bool is_gso);
    void add_extension(Packet& packet);
    void add_transport(Packet& packet);
    void spoil(Bytes& bytes);

    std::mt19937_64 random_;
    kudo_link_layer link_;
    kudo_direction direction_;
    std::vector<std::string> remotes4_, remotes6_; // in, at the edges of, beside and far from the ranges
    std::vector<uint16_t> ports_;
};

} // namespace kudo::test
