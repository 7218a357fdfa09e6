// SPDX-License-Identifier: MIT
// kudo-agent's own information elements and the templates of its records: docs/flow-records.md lists them.
// Invariant: an element's number and meaning never change. Reverse elements are RFC 5103's: those of IANA under number
// 29305, our own with bit 14 of their number.
#pragma once

#include <cstdint>

#include <fixbuf/public.h>

#include "agent/flowrecords/data_record.h"

namespace kudo {

inline constexpr uint16_t template_ipv4 = 256, template_ipv6 = 257, template_types = 258;

// Ours, of this enterprise; ends with one without a name.
struct OwnElements {
    explicit OwnElements(uint32_t enterprise);
    fbInfoElement_t elements[10];
};

// As libfixbuf takes a record: `own_template` says what lies where.
struct ExportRecord {
    uint64_t start, stop, first_seen;
    uint8_t source6[16], destination6[16];
    uint32_t source4, destination4; // host order
    uint64_t octets, packets, reverse_octets, reverse_packets;
    uint64_t flow_id;
    uint64_t upstream_lost, host_lost, reverse_host_lost, queue_lost, reverse_queue_lost;
    uint32_t egress_interface, reverse_ingress_interface, jitter, rtt;
    uint16_t source_port, destination_port;
    uint8_t protocol, end_reason, direction, forwarding;
    fbVarfield_t interface, service, class_, reason;
};
ExportRecord export_record(const DataRecord& record); // its texts lie in `record`

// The layout of ExportRecord, or of what is sent of it for one family. End with one without a name.
inline constexpr std::size_t max_specs = 40;
void layout_spec(fbInfoElementSpec_t (&specs)[max_specs]);
void sent_spec(unsigned family, fbInfoElementSpec_t (&specs)[max_specs]);

} // namespace kudo
