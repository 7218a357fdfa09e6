// SPDX-License-Identifier: MIT
// Says what must become of a packet, and keeps the books that the kernel must have kept.
// Invariant: matches come from the range map's own ranges, one after the other, never from what compile() made of them;
// a judgement depends on packet and policy only, never on the packets before.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bpf/judge.h"
#include "bpf/mark.h"
#include "maps/compile/compile.h"
#include "tests/support/packet_builder.h"

namespace kudo::test {

// A frame as a hook sees it.
struct Frame {
    std::span<const uint8_t> bytes;
    kudo_link_layer link = KUDO_LINK_ETHERNET;
    kudo_direction direction = KUDO_INGRESS;
    uint32_t interface_index = 1;
    uint32_t segment_size = 0; // gso_size
    uint32_t segments = 0;     // gso_segs
};

struct Decision {
    kudo_packet packet{};
    uint32_t parsed = 0; // what kudo_parse() returned
    kudo_judgement judgement{};
    kudo_counter wire{};

    [[nodiscard]] uint8_t verdict() const { return kudo_verdict_of(judgement); }
    [[nodiscard]] bool has_flow() const { return parsed == 0 && judgement.service != 0; }
};

// Flows by the bytes of their key; IPv4 and IPv6 keys differ in length.
using FlowBook = std::map<std::string, kudo_flow>;

class Oracle {
public:
    Oracle(const RangeMap& map, const CompileOptions& options, const CompiledPolicy& compiled, uint32_t generation);

    // The services whose ranges hold the address, most specific first.
    [[nodiscard]] kudo_match match(const Address& address) const;
    [[nodiscard]] Decision decide(const Frame& frame) const;
    // The frame and skb->priority as egress leaves them.
    [[nodiscard]] Bytes marked(const Frame& frame, const Decision& decision) const;
    [[nodiscard]] uint32_t marked_priority(const Frame& frame, uint32_t priority, const Decision& decision) const;
    [[nodiscard]] const kudo_policy& policy() const { return *policy_; }

private:
    struct Listed {
        Prefix prefix;
        uint8_t slot;
        std::size_t order;
    };
    std::vector<Listed> ranges_;
    std::unique_ptr<kudo_policy> policy_;
};

// What the per-CPU counters, summed, and the flow tables must hold.
class Books {
public:
    void enter(const Decision& decision, kudo_direction direction);
    [[nodiscard]] const kudo_counters& counters() const { return *counters_; }
    [[nodiscard]] const FlowBook& flows() const { return flows_; }

private:
    std::unique_ptr<kudo_counters> counters_ = std::make_unique<kudo_counters>();
    FlowBook flows_;
};

// The bytes of the packet's flow key.
std::string flow_key(const kudo_packet& packet);

} // namespace kudo::test
