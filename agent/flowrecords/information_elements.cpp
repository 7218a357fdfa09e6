// SPDX-License-Identifier: MIT
#include "agent/flowrecords/information_elements.h"

#include <arpa/inet.h>

#include <cstddef>
#include <cstring>
#include <string_view>

#include "maps/base/abi_names.h"

namespace kudo {
namespace {

constexpr uint8_t arbitrary_direction = 0;              // biflowDirection, RFC 5103 section 6.3
constexpr uint8_t forwarded = 1 << 6, dropped = 2 << 6; // forwardingStatus, RFC 7270 section 4.12
constexpr uint32_t packets_so_far = FB_IE_F_ENDIAN | FB_IE_TOTALCOUNTER | FB_UNITS_PACKETS;
constexpr uint32_t time_span = FB_IE_F_ENDIAN | FB_IE_QUANTITY | FB_UNITS_MICROSECONDS;

struct Field {
    const char* name;
    uint16_t size;   // FB_IE_VARLEN: of any length
    unsigned family; // 0: of both
};
// In the order of ExportRecord's members.
constexpr Field fields[] = {
    {"flowStartMilliseconds", 8, 0},
    {"flowEndMilliseconds", 8, 0},
    {"kudoFirstSeenMilliseconds", 8, 0},
    {"sourceIPv6Address", 16, 6},
    {"destinationIPv6Address", 16, 6},
    {"sourceIPv4Address", 4, 4},
    {"destinationIPv4Address", 4, 4},
    {"octetDeltaCount", 8, 0},
    {"packetDeltaCount", 8, 0},
    {"reverseOctetDeltaCount", 8, 0},
    {"reversePacketDeltaCount", 8, 0},
    {"flowId", 8, 0},
    {"kudoUpstreamLostTotalCount", 8, 0},
    {"kudoHostLostTotalCount", 8, 0},
    {"reverseKudoHostLostTotalCount", 8, 0},
    {"kudoQueueLostTotalCount", 8, 0},
    {"reverseKudoQueueLostTotalCount", 8, 0},
    {"egressInterface", 4, 0},
    {"reverseIngressInterface", 4, 0},
    {"kudoJitterMicroseconds", 4, 0},
    {"kudoRoundTripMicroseconds", 4, 0},
    {"sourceTransportPort", 2, 0},
    {"destinationTransportPort", 2, 0},
    {"protocolIdentifier", 1, 0},
    {"flowEndReason", 1, 0},
    {"biflowDirection", 1, 0},
    {"forwardingStatus", 1, 0},
    {"interfaceName", FB_IE_VARLEN, 0},
    {"kudoService", FB_IE_VARLEN, 0},
    {"kudoClass", FB_IE_VARLEN, 0},
    {"kudoReason", FB_IE_VARLEN, 0},
};
static_assert(std::size(fields) < max_specs);
static_assert(offsetof(ExportRecord, interface) == 168, "no padding before the texts");

fbVarfield_t text_field(std::string_view text) {
    return {text.size(), const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()))}; // only read
}

uint32_t ipv4_number(const uint8_t (&address)[16]) {
    uint32_t number = 0;
    std::memcpy(&number, address, sizeof number);
    return ntohl(number);
}

fbInfoElementSpec_t spec(const char* name, uint16_t size) {
    return {const_cast<char*>(name), size, 0}; // only read
}

} // namespace

OwnElements::OwnElements(uint32_t enterprise)
    : elements{
          FB_IE_INIT_FULL("kudoService", enterprise, 1, FB_IE_VARLEN, FB_IE_DEFAULT, 0, 0, FB_STRING,
                          "service of the range map; empty: none"),
          FB_IE_INIT_FULL("kudoClass", enterprise, 2, FB_IE_VARLEN, FB_IE_DEFAULT, 0, 0, FB_STRING,
                          "media, fallback, control or none"),
          FB_IE_INIT_FULL("kudoReason", enterprise, 3, FB_IE_VARLEN, FB_IE_DEFAULT, 0, 0, FB_STRING,
                          "why the packets are judged so"),
          FB_IE_INIT_FULL("kudoUpstreamLostTotalCount", enterprise, 4, 8, packets_so_far, 0, 0, FB_UINT_64,
                          "packets of incoming RTP streams that did not arrive; all ones: not known"),
          FB_IE_INIT_FULL("kudoHostLostTotalCount", enterprise, 5, 8, packets_so_far | FB_IE_F_REVERSIBLE, 0, 0,
                          FB_UINT_64, "packets that the host's kernel has lost; all ones: not known"),
          FB_IE_INIT_FULL("kudoQueueLostTotalCount", enterprise, 6, 8, packets_so_far | FB_IE_F_REVERSIBLE, 0, 0,
                          FB_UINT_64, "of those, lost in a queue; all ones: not known"),
          FB_IE_INIT_FULL("kudoJitterMicroseconds", enterprise, 7, 4, time_span, 0, 0, FB_UINT_32,
                          "RFC 3550 jitter of the worst incoming RTP stream; all ones: not known"),
          FB_IE_INIT_FULL("kudoRoundTripMicroseconds", enterprise, 8, 4, time_span, 0, 0, FB_UINT_32,
                          "median round trip of STUN requests; all ones: not known"),
          FB_IE_INIT_FULL("kudoFirstSeenMilliseconds", enterprise, 9, 8, FB_IE_F_ENDIAN | FB_IE_DEFAULT, 0, 0,
                          FB_DT_MILSEC, "when the flow's first packet was seen"),
          FB_IE_NULL,
      } {}

ExportRecord export_record(const DataRecord& record) {
    const FlowIdentity& flow = record.flow;
    ExportRecord result{};
    result.start = static_cast<uint64_t>(record.start);
    result.stop = static_cast<uint64_t>(record.stop);
    result.first_seen = static_cast<uint64_t>(record.first_seen);
    std::memcpy(result.source6, flow.local, sizeof result.source6);
    std::memcpy(result.destination6, flow.remote, sizeof result.destination6);
    result.source4 = ipv4_number(flow.local);
    result.destination4 = ipv4_number(flow.remote);
    result.octets = record.counters[KUDO_EGRESS].bytes;
    result.packets = record.counters[KUDO_EGRESS].packets;
    result.reverse_octets = record.counters[KUDO_INGRESS].bytes;
    result.reverse_packets = record.counters[KUDO_INGRESS].packets;
    result.flow_id = record.flow_id;
    result.upstream_lost = record.upstream_lost;
    result.host_lost = record.host_lost[KUDO_EGRESS];
    result.reverse_host_lost = record.host_lost[KUDO_INGRESS];
    result.queue_lost = record.queue_lost[KUDO_EGRESS];
    result.reverse_queue_lost = record.queue_lost[KUDO_INGRESS];
    result.egress_interface = result.reverse_ingress_interface = flow.interface_index;
    result.jitter = record.jitter_us;
    result.rtt = record.rtt_us;
    result.source_port = flow.local_port;
    result.destination_port = flow.remote_port;
    result.protocol = flow.protocol;
    result.end_reason = static_cast<uint8_t>(record.end);
    result.direction = arbitrary_direction;
    result.forwarding = record.verdict == KUDO_DROP ? dropped : forwarded;
    result.interface = text_field(record.interface);
    result.service = text_field(record.service);
    result.class_ = text_field(class_name(static_cast<kudo_class>(record.class_)));
    result.reason = text_field(reason_name(static_cast<kudo_reason>(record.reason)));
    return result;
}

void layout_spec(fbInfoElementSpec_t (&specs)[max_specs]) {
    std::size_t count = 0;
    for (const Field& field : fields)
        specs[count++] = spec(field.name, field.size == FB_IE_VARLEN ? 0 : field.size);
    specs[count] = {};
}

void sent_spec(unsigned family, fbInfoElementSpec_t (&specs)[max_specs]) {
    std::size_t count = 0;
    for (const Field& field : fields)
        if (field.family == 0 || field.family == family)
            specs[count++] = spec(field.name, field.size == FB_IE_VARLEN ? 0 : field.size);
    specs[count] = {};
}

} // namespace kudo
