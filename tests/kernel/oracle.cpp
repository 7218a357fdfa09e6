// SPDX-License-Identifier: MIT
#include "tests/kernel/oracle.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "bpf/on_the_wire.h"
#include "bpf/rtp.h"

namespace kudo::test {
namespace {

Address remote_of(const kudo_packet& packet) {
    Address address;
    address.family = packet.family == 4 ? Family::IPv4 : Family::IPv6;
    if (packet.family == 4)
        std::memcpy(address.bytes.data(), &packet.key4.remote, 4);
    else
        std::memcpy(address.bytes.data(), packet.key6.remote, 16);
    return address;
}

// The header's sum, its checksum included, is the same number before and after: right stays right, wrong stays as
// wrong.
void mark_ipv4(std::span<uint8_t> header, uint8_t dsfield) {
    const auto size = static_cast<std::size_t>(header[0] & 15) * 4;
    const auto whole = header.first(size);
    const auto error = static_cast<uint16_t>(~internet_checksum(whole)); // 0xffff: right
    header[1] = dsfield;
    header[10] = header[11] = 0;
    const uint32_t sum = static_cast<uint16_t>(~internet_checksum(whole));
    // checksum = error - sum in one's complement arithmetic, 0xffff written as 0
    const uint32_t checksum = (error + 0xffffu - sum) % 0xffffu;
    header[10] = static_cast<uint8_t>(checksum >> 8);
    header[11] = static_cast<uint8_t>(checksum & 255);
}

} // namespace

Oracle::Oracle(const RangeMap& map, const CompileOptions& options, const CompiledPolicy& compiled, uint32_t generation)
    : policy_(std::make_unique<kudo_policy>(*compiled.policy)) {
    policy_->generation = generation;
    for (std::size_t order = 0; order < map.services.size(); ++order) {
        const Service& service = map.services[order];
        if (!is_chosen(service, options)) continue;
        for (const Range& range : service.ranges)
            ranges_.push_back({range.prefix, compiled.slots.at(service.name), order});
    }
}

kudo_match Oracle::match(const Address& address) const {
    std::vector<Listed> found;
    for (const Listed& listed : ranges_) {
        if (listed.prefix.contains(address)) found.push_back(listed);
    }
    std::ranges::sort(found, [](const Listed& a, const Listed& b) {
        return a.prefix.length != b.prefix.length ? a.prefix.length > b.prefix.length : a.order < b.order;
    });
    kudo_match result{};
    std::size_t count = 0;
    for (const Listed& listed : found) {
        const auto known = std::span(result.candidates).first(count);
        if (std::ranges::any_of(known, [&](const auto& candidate) { return candidate.service == listed.slot; }))
            continue;
        result.candidates[count++] = {.service = listed.slot, .prefix_length = listed.prefix.length};
    }
    return result;
}

Decision Oracle::decide(const Frame& frame) const {
    Decision decision;
    const auto size = static_cast<uint32_t>(frame.bytes.size());
    kudo_packet& packet = decision.packet;
    const kudo_frame as_seen{.wire_length = size,
                             .link = frame.link,
                             .direction = frame.direction,
                             .is_gso = frame.segment_size != 0,
                             .vlan_accel = 0};
    decision.parsed = kudo_parse(frame.bytes.data(), frame.bytes.data() + size, &as_seen, &packet);
    decision.wire = kudo_on_the_wire(&packet, frame.segment_size, frame.segments);
    if (decision.parsed) {
        decision.judgement = kudo_judge_unparsed(policy_.get(), decision.parsed);
        return decision;
    }
    (packet.family == 4 ? packet.key4.interface : packet.key6.interface) = frame.interface_index;
    const kudo_match found = match(remote_of(packet));
    const uint8_t protocol = packet.family == 4 ? packet.key4.protocol : packet.key6.protocol;
    const uint16_t port = packet.family == 4 ? packet.key4.remote_port : packet.key6.remote_port;
    decision.judgement = kudo_judge(policy_.get(), &found, protocol, port, packet.non_first_fragment);
    return decision;
}

namespace {

// As of a first packet: an RTP stream that is new is not known to be audio.
kudo_treatment treatment_of(const Frame& frame, const Decision& decision) {
    const kudo_packet& packet = decision.packet;
    const auto class_ = static_cast<kudo_treatment>(kudo_class_of(decision.judgement));
    if (class_ != KUDO_TREATMENT_VIDEO || (packet.family == 4 ? packet.key4.protocol : packet.key6.protocol) != 17)
        return class_;
    const uint32_t begin = packet.l3_offset + packet.header_length, end = packet.l3_offset + packet.l3_length;
    if (packet.header_length == 0 || begin >= end || begin > frame.bytes.size()) return class_;
    uint32_t length = end - begin;
    if (frame.segment_size != 0) length = std::min(length, frame.segment_size);
    uint8_t window[KUDO_RTP_WINDOW] = {};
    const auto payload = frame.bytes.subspan(begin);
    const uint32_t seen = std::min<uint32_t>(length, KUDO_RTP_WINDOW);
    if (seen > payload.size()) return class_;
    std::copy_n(payload.begin(), seen, window);
    kudo_rtp_packet rtp{};
    kudo_read_rtp(window, seen, length, &rtp);
    return static_cast<kudo_treatment>(kudo_media_treatment(rtp.content, nullptr));
}

} // namespace

Bytes Oracle::marked(const Frame& frame, const Decision& decision) const {
    Bytes bytes(frame.bytes.begin(), frame.bytes.end());
    if (decision.verdict() != KUDO_PRIORITISED) return bytes;
    const kudo_packet& packet = decision.packet;
    const uint8_t dsfield = kudo_marked_dsfield(packet.dsfield, policy_->marks[treatment_of(frame, decision)]);
    if (dsfield == packet.dsfield) return bytes;
    const auto header = std::span(bytes).subspan(packet.l3_offset);
    if (packet.family == 4) {
        mark_ipv4(header, dsfield);
    } else {
        header[0] = static_cast<uint8_t>((header[0] & 0xf0) | dsfield >> 4);
        header[1] = static_cast<uint8_t>((header[1] & 0x0f) | (dsfield & 15) << 4);
    }
    return bytes;
}

uint32_t Oracle::marked_priority(const Frame& frame, uint32_t priority, const Decision& decision) const {
    if (decision.verdict() != KUDO_PRIORITISED) return priority;
    return kudo_marked_priority(priority, policy_->marks[treatment_of(frame, decision)], 0);
}

void Books::enter(const Decision& decision, kudo_direction direction) {
    const auto add = [&](kudo_counter& counter) {
        counter.packets += decision.wire.packets;
        counter.bytes += decision.wire.bytes;
    };
    const kudo_judgement& judgement = decision.judgement;
    add(counters_->reasons[judgement.reason][direction]);
    if (judgement.service) add(counters_->services[judgement.service][kudo_class_of(judgement)][direction]);
    if (!decision.has_flow()) return;
    kudo_flow& flow = flows_[flow_key(decision.packet)];
    std::memcpy(&flow.judgement, &judgement, sizeof judgement);
    add(flow.directions[direction]);
}

std::string flow_key(const kudo_packet& packet) {
    const auto* first = reinterpret_cast<const char*>(&packet.key4);
    return {first, first + (packet.family == 4 ? sizeof packet.key4 : sizeof packet.key6)};
}

} // namespace kudo::test
