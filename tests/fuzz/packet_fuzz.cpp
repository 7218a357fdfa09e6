// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as a frame, of which any part is linear, on any link, in any direction, under any policy.
// Built with -fsanitize=fuzzer,address,undefined. The first bytes of the input choose the circumstances.
// Invariant: what parse.h, judge.h and mark.h promise about their results, whatever the bytes.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "bpf/judge.h"
#include "bpf/mark.h"
#include "bpf/on_the_wire.h"
#include "bpf/parse_fast.h"

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

// How the frame comes to us: the first bytes of the input.
struct Circumstances {
    uint8_t flags;         // bit 0: bare IP; 1: egress; 2: super-packet; 3: all is linear; 4: a hidden tag
    uint8_t mode;          // of the policy
    uint16_t linear;       // bytes of the frame that lie in the linear part
    uint16_t segment_size; // gso_size
    uint8_t segments;      // gso_segs
    uint8_t port_index;    // which of the packet's ports the policy lists
    kudo_candidate candidates[KUDO_MAX_CANDIDATES];
    kudo_mark mark;
};

struct Parsed {
    kudo_packet packet;
    uint32_t reason;
};

bool same(const Parsed& a, const Parsed& b) {
    if (a.reason != b.reason || a.packet.l3_offset != b.packet.l3_offset || a.packet.l3_length != b.packet.l3_length)
        return false;
    if (a.reason != 0) return true;
    kudo_packet first = a.packet, second = b.packet; // the callers set the interface
    (first.family == 4 ? first.key4.interface : first.key6.interface) = 0;
    (second.family == 4 ? second.key4.interface : second.key6.interface) = 0;
    return first.family == second.family && first.non_first_fragment == second.non_first_fragment &&
           first.has_jumbo_header == second.has_jumbo_header && first.dsfield == second.dsfield &&
           first.header_length == second.header_length &&
           std::memcmp(&first.key4, &second.key4, first.family == 4 ? sizeof first.key4 : sizeof first.key6) == 0;
}

// From a heap block of exactly the linear part's size: AddressSanitizer sees every byte beyond it.
Parsed parse(const uint8_t* frame, std::size_t linear, std::size_t wire_length, const Circumstances& how) {
    const auto block = std::make_unique<uint8_t[]>(linear);
    std::memcpy(block.get(), frame, linear);
    Parsed result;
    std::memset(&result, 0xa5, sizeof result);
    const kudo_frame as_seen{.wire_length = static_cast<uint32_t>(wire_length),
                             .link = how.flags & 1 ? KUDO_LINK_NONE : KUDO_LINK_ETHERNET,
                             .direction = static_cast<uint32_t>(how.flags >> 1 & 1),
                             .is_gso = static_cast<uint8_t>(how.flags >> 2 & 1),
                             .vlan_accel = static_cast<uint8_t>(how.flags >> 4 & 1)};
    result.reason = kudo_parse(block.get(), block.get() + linear, &as_seen, &result.packet);
    // The fast path gives the same for what it takes.
    Parsed common;
    std::memset(&common, 0x5a, sizeof common);
    common.reason = 0;
    if (kudo_parse_fast(block.get(), block.get() + linear, &as_seen, &common.packet)) require(same(common, result));
    return result;
}

void check_shape(const Parsed& parsed, std::size_t linear, std::size_t wire_length) {
    const kudo_packet& packet = parsed.packet;
    require(parsed.reason < KUDO_REASON_END || parsed.reason == KUDO_PARSE_PULL);
    require(std::size_t{packet.l3_offset} + packet.l3_length <= wire_length);
    require(packet.header_length <= packet.l3_length || parsed.reason != 0);
    if (parsed.reason == KUDO_PARSE_PULL) require(linear < wire_length);
    if (parsed.reason != 0) return;
    require(packet.family == 4 || packet.family == 6);
    require(packet.header_length >= (packet.family == 4 ? 20u : 40u));
    require(packet.l3_offset <= 14 + 4 * KUDO_MAX_TAGS + 8);
    require(packet.l3_offset + packet.header_length <= KUDO_MAX_EXTENSION_BYTES + 60);
    const uint8_t fragment = packet.family == 4 ? packet.key4.non_first_fragment : packet.key6.non_first_fragment;
    require(fragment == packet.non_first_fragment);
    const uint8_t* pad = packet.family == 4 ? packet.key4.pad : packet.key6.pad;
    static_assert(sizeof packet.key4.pad == 2 && sizeof packet.key6.pad == 2);
    require(pad[0] == 0 && pad[1] == 0);
}

void check_wire(const kudo_packet& packet, const Circumstances& how) {
    const kudo_counter wire = kudo_on_the_wire(&packet, how.segment_size, how.segments);
    require(wire.packets >= 1);
    if (wire.packets == 1 && !packet.has_jumbo_header) require(wire.bytes == packet.l3_length);
    if (!packet.has_jumbo_header) require(wire.bytes >= packet.l3_length);
}

void check_judgement(const kudo_packet& packet, const Circumstances& how) {
    static const auto policy = std::make_unique<kudo_policy>();
    const uint8_t protocol = packet.family == 4 ? packet.key4.protocol : packet.key6.protocol;
    const uint16_t port = packet.family == 4 ? packet.key4.remote_port : packet.key6.remote_port;
    policy->generation = 1;
    policy->mode = how.mode % 3;
    kudo_port_rule& rule =
        policy->services[how.candidates[0].service % KUDO_MAX_SERVICES].ports[how.port_index % KUDO_MAX_PORTS];
    const kudo_port_rule saved = rule;
    rule = {.port = port, .protocol = protocol, .class_ = KUDO_CLASS_MEDIA};
    kudo_match match;
    std::memcpy(match.candidates, how.candidates, sizeof match.candidates);

    const kudo_judgement judgement = kudo_judge(policy.get(), &match, protocol, port, packet.non_first_fragment);
    const uint8_t verdict = kudo_verdict_of(judgement);
    require(judgement.reason < KUDO_REASON_END && judgement.generation == 1);
    require((judgement.reason == KUDO_REASON_STRANGER) == (how.candidates[0].service == 0));
    require((judgement.service == 0) == (judgement.reason == KUDO_REASON_STRANGER));
    require(verdict != KUDO_DROP || policy->mode == KUDO_ENFORCE);
    require((verdict == KUDO_PRIORITISED) == (judgement.reason == KUDO_REASON_RULE && policy->mode != KUDO_OBSERVE));
    require((kudo_class_of(judgement) != KUDO_CLASS_NONE) == (judgement.reason == KUDO_REASON_RULE));
    const bool has_ports = protocol == KUDO_PROTOCOL_TCP || protocol == KUDO_PROTOCOL_UDP;
    if (how.candidates[0].service != 0 && has_ports && !packet.non_first_fragment)
        require(judgement.reason == KUDO_REASON_RULE && judgement.service == how.candidates[0].service);
    rule = saved;
}

void check_mark(const kudo_packet& packet, kudo_mark mark) {
    mark.dscp &= 63;
    const uint8_t dsfield = kudo_marked_dsfield(packet.dsfield, mark);
    require((dsfield & KUDO_ECN_BITS) == (packet.dsfield & KUDO_ECN_BITS));
    require(dsfield >> 5 >= packet.dsfield >> 5);
    require(kudo_marked_dsfield(dsfield, mark) == dsfield);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    Circumstances how;
    if (size < sizeof how) return 0;
    std::memcpy(&how, data, sizeof how);
    const uint8_t* frame = data + sizeof how;
    const std::size_t wire_length = size - sizeof how;
    const std::size_t linear = how.flags & 8 || how.linear > wire_length ? wire_length : how.linear;

    const Parsed whole = parse(frame, wire_length, wire_length, how);
    check_shape(whole, wire_length, wire_length);
    require(whole.reason != KUDO_PARSE_PULL);
    const Parsed part = parse(frame, linear, wire_length, how);
    check_shape(part, linear, wire_length);
    // Either the part is enough, or what is missing is asked for: never another answer.
    require(part.reason == KUDO_PARSE_PULL || same(part, whole));
    // What tc pulls is always enough.
    const std::size_t pulled =
        wire_length < KUDO_MAX_EXTENSION_BYTES + 60 ? wire_length : KUDO_MAX_EXTENSION_BYTES + 60;
    require(same(parse(frame, pulled, wire_length, how), whole));

    check_wire(whole.packet, how);
    if (whole.reason == 0) {
        for (kudo_candidate& candidate : how.candidates)
            candidate.service %= KUDO_MAX_SERVICES;
        check_judgement(whole.packet, how);
        check_mark(whole.packet, how.mark);
    }
    return 0;
}
