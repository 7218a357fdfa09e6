// SPDX-License-Identifier: MIT
// libFuzzer target: any bytes as a frame, parsed and put to any allow rules. The first bytes of the input are the
// rules. Each piece of the frame that admission reads lies in a heap block of exactly that size: AddressSanitizer sees
// every byte beyond it. Invariant: what admit.h and docs/enforce.md promise of any packet and any rule.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "bpf/admit.h"
#include "maps/compile/allow_entries.h"

namespace {

constexpr std::size_t max_rules = 4;

struct Circumstances {
    uint8_t flags; // bit 0: bare IP; 1: egress; 2: GSO; 3: this host has spoken
    uint8_t rules; // how many
    kudo_allow allow[max_rules];
};

void require(bool condition) {
    if (!condition) std::abort();
}

// As many bytes as there are, at most `size`, in a block of their own.
std::unique_ptr<uint8_t[]> block_of(const uint8_t* from, std::size_t size) {
    auto block = std::make_unique<uint8_t[]>(size);
    std::memcpy(block.get(), from, size);
    return block;
}

struct Rules {
    kudo::CompiledPolicy compiled;
    std::vector<kudo_allow> list;
};

// One for all inputs, since a policy is large.
const Rules& rules_of(const Circumstances& how) {
    static Rules result;
    if (!result.compiled.policy) result.compiled.policy = std::make_unique<kudo_policy>();
    result.list.clear();
    result.compiled.allow4.clear();
    std::ranges::fill(result.compiled.policy->allow_remote_ports, 0);
    std::ranges::fill(result.compiled.policy->allow_local_ports, 0);
    std::vector<kudo::AllowRule> rules;
    for (std::size_t i = 0; i < how.rules % (max_rules + 1); ++i) {
        kudo::AllowRule rule;
        rule.rule = how.allow[i];
        rule.rule.kind %= KUDO_ALLOW_KINDS;
        rule.rule.flags &= KUDO_ALLOW_FROM | KUDO_ALLOW_TO;
        if (rule.rule.last_port < rule.rule.first_port) std::swap(rule.rule.last_port, rule.rule.first_port);
        if (!kudo_has_ports(rule.rule.protocol)) rule.rule.first_port = 0, rule.rule.last_port = 65535;
        rule.remotes = {kudo::Prefix{}};
        result.list.push_back(rule.rule);
        rules.push_back(std::move(rule));
    }
    // Entering a port takes long with the sanitizers. A set bit is never wrong.
    const auto has_many_ports = [](const kudo_allow& rule) { return rule.last_port - rule.first_port > 300; };
    if (std::ranges::any_of(result.list, has_many_ports)) {
        std::ranges::fill(result.compiled.policy->allow_remote_ports, ~0ull);
        std::ranges::fill(result.compiled.policy->allow_local_ports, ~0ull);
    } else {
        require(add_allow_rules(rules, result.compiled).has_value());
    }
    return result;
}

kudo_allow_answer answer_to(const kudo_allow& rule, kudo_subject subject, bool spoken) {
    subject.spoken = spoken;
    return kudo_put_to_rule(rule, &subject);
}

void check_rule(const kudo_allow& rule, const kudo_subject& subject, const kudo_policy& policy) {
    const kudo_allow_answer unspoken = answer_to(rule, subject, false), spoken = answer_to(rule, subject, true);
    require(unspoken >= KUDO_ALLOW_NOT && unspoken <= KUDO_ALLOW_ADMITS_ANSWER);
    // Having spoken makes a packet admissible, never the rule another one's.
    require(spoken >= unspoken && (spoken == KUDO_ALLOW_NOT) == (unspoken == KUDO_ALLOW_NOT));
    const bool has_ports = subject.kind == KUDO_ALLOW_PROTOCOL && kudo_has_ports(subject.protocol);
    const bool incoming = subject.direction == KUDO_INGRESS;
    if (spoken == KUDO_ALLOW_NOT) return;
    if (subject.kind == KUDO_ALLOW_ARP) require(rule.kind == KUDO_ALLOW_ARP);
    if (!has_ports) return require(unspoken == KUDO_ALLOW_ADMITS);
    // A clear bit of the ports' prefilter is a certain "no rule".
    require(kudo_allow_maybe(&policy, subject.remote_port, subject.local_port));
    if (rule.kind == KUDO_ALLOW_DHCP) return require(subject.protocol == KUDO_PROTOCOL_UDP);
    if (incoming && rule.flags == KUDO_ALLOW_TO) require(unspoken == KUDO_ALLOW_MATCHES);
    if (incoming && rule.flags == KUDO_ALLOW_TO && subject.opens) require(spoken == KUDO_ALLOW_MATCHES);
    if (!incoming && rule.flags == KUDO_ALLOW_FROM) require(!subject.opens);
    require(rule.flags != 0);
}

void check_quote(const uint8_t* bytes, const kudo_packet& error, uint32_t direction, const Rules& rules) {
    kudo_packet quoted{};
    kudo_subject subject{};
    if (!kudo_read_quoted(bytes, &error, direction, &quoted, &subject)) return;
    require(quoted.family == error.family && subject.family == error.family);
    require(subject.kind == KUDO_ALLOW_PROTOCOL || subject.kind == KUDO_ALLOW_ECHO);
    if (kudo_has_ports(subject.protocol)) require(subject.kind == KUDO_ALLOW_PROTOCOL);
    require(!subject.opens && !subject.spoken);
    const bool local_is_the_same = error.family == 4 ? quoted.key4.local == error.key4.local
                                                     : std::memcmp(quoted.key6.local, error.key6.local, 16) == 0;
    require(local_is_the_same);
    if (!kudo_has_ports(subject.protocol)) require(subject.direction != direction);
    for (const kudo_allow& rule : rules.list)
        check_rule(rule, subject, *rules.compiled.policy);
}

// What the rules ask of the packet: as admission.bpf.h fills it.
kudo_subject subject_of(const kudo_packet& packet, uint32_t direction, const uint8_t* body, std::size_t size) {
    const bool v4 = packet.family == 4;
    kudo_subject subject{.remote_port = v4 ? packet.key4.remote_port : packet.key6.remote_port,
                         .local_port = v4 ? packet.key4.local_port : packet.key6.local_port,
                         .family = packet.family,
                         .kind = KUDO_ALLOW_PROTOCOL,
                         .protocol = v4 ? packet.key4.protocol : packet.key6.protocol,
                         .direction = static_cast<uint8_t>(direction),
                         .opens = packet.opens,
                         .is_request = 0,
                         .spoken = 0,
                         .pad = 0};
    if (subject.protocol == (v4 ? KUDO_PROTOCOL_ICMP : KUDO_PROTOCOL_ICMPV6) && size >= KUDO_ICMP_HEADER)
        kudo_read_icmp(&subject, body[0], packet.hop_limit);
    return subject;
}

void check_packet(const kudo_packet& packet, const uint8_t* frame, uint32_t direction, const Rules& rules) {
    if (packet.non_first_fragment) {
        require(kudo_fragment_offset(&packet) >= 8);
        return;
    }
    require(kudo_fragment_offset(&packet) == 0);
    if (packet.family == 4) (void)kudo_is_header_sum_right(block_of(frame + packet.l3_offset, 20).get());
    if (packet.opens) require((packet.family == 4 ? packet.key4.protocol : packet.key6.protocol) == KUDO_PROTOCOL_TCP);
    (void)kudo_is_bad_source(&packet);
    const std::size_t at = packet.l3_offset + packet.header_length, end = packet.l3_offset + packet.l3_length;
    require(at <= end);
    const kudo_subject subject = subject_of(packet, direction, frame + at, end - at);
    require(subject.kind < KUDO_ALLOW_KINDS && subject.kind != KUDO_ALLOW_ARP && subject.kind != KUDO_ALLOW_DHCP);
    for (const kudo_allow& rule : rules.list)
        check_rule(rule, subject, *rules.compiled.policy);
    const std::size_t quoted = packet.family == 4 ? KUDO_QUOTED4 : KUDO_QUOTED6;
    if (subject.kind == KUDO_ALLOW_ICMP_ERROR && end - at >= KUDO_ICMP_HEADER + quoted)
        check_quote(block_of(frame + at + KUDO_ICMP_HEADER, quoted).get(), packet, direction, rules);
}

void check_link(const kudo_packet& packet, const uint8_t* frame, std::size_t size, uint32_t direction) {
    const bool is_arp = packet.ethertype == KUDO_ETHERTYPE_ARP;
    require(!kudo_is_link_control(packet.ethertype) || !is_arp);
    if (!is_arp || packet.l3_offset + std::size_t{KUDO_ARP_BYTES} > size) return;
    __be32 remote = 0;
    (void)kudo_read_arp(block_of(frame + packet.l3_offset, KUDO_ARP_BYTES).get(), direction, &remote);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    Circumstances how;
    if (size < sizeof how) return 0;
    std::memcpy(&how, data, sizeof how);
    const std::size_t length = size - sizeof how;
    const auto frame = block_of(data + sizeof how, length);
    const uint32_t direction = how.flags >> 1 & 1;
    const kudo_frame as_seen{.wire_length = static_cast<uint32_t>(length),
                             .link = how.flags & 1 ? KUDO_LINK_NONE : KUDO_LINK_ETHERNET,
                             .direction = direction,
                             .is_gso = static_cast<uint8_t>(how.flags >> 2 & 1),
                             .vlan_accel = 0};
    kudo_packet packet;
    const uint32_t reason = kudo_parse(frame.get(), frame.get() + length, &as_seen, &packet);
    const Rules& rules = rules_of(how);
    if (reason == 0)
        check_packet(packet, frame.get(), direction, rules);
    else if (reason == KUDO_REASON_NOT_IP)
        check_link(packet, frame.get(), length, direction);
    return 0;
}
