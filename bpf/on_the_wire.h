/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What a frame is on the wire: one packet, or the many that a GSO or GRO packet stands for. No helpers, no maps.
 * Invariant: exact for what kudo_parse() knows, see below. */
#ifndef KUDO_ON_THE_WIRE_H
#define KUDO_ON_THE_WIRE_H

#include "parse.h"

/* How many packets a frame is on the wire, and how many layer-3 bytes they have together. `segment_size` is the payload
 * of each but the last (skb->gso_size), 0 for an ordinary frame; `segments` what the kernel says (skb->gso_segs), 0
 * where it does not know (packets from a guest). Encapsulated GSO packets: the inner headers are not parsed, so bytes
 * are a lower bound there. */
kudo_inline struct kudo_counter kudo_on_the_wire(const struct kudo_packet *packet, __u32 segment_size, __u32 segments)
{
	struct kudo_counter wire = {1, packet->l3_length};
	/* A BIG TCP packet has a hop-by-hop header of 8 bytes that its segments do not have. */
	__u32 extra = packet->has_jumbo_header ? 8 : 0;

	if (segment_size == 0 || packet->header_length == 0 || packet->l3_length <= packet->header_length)
		return wire;
	__u32 payload = packet->l3_length - packet->header_length;
	if (segments == 0)
		segments = (payload + segment_size - 1) / segment_size;
	wire.packets = segments;
	wire.bytes = payload + (__u64)segments * (packet->header_length - extra);
	return wire;
}

#endif /* KUDO_ON_THE_WIRE_H */
