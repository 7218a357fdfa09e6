/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Admission (docs/enforce.md): puts the current packet to the rules, each step a function of its own, so that the verifier
 * checks it once. Runs only under a policy that asks for it; no other packet pays for it more than one comparison.
 * Invariant: what comes in enters nothing but first fragments that were admitted, and the bounded table of what was not. */
#ifndef KUDO_ADMISSION_BPF_H
#define KUDO_ADMISSION_BPF_H

#include "admit.h"
#include "flow.bpf.h"
#include "frame.bpf.h"
#include "outgoing.bpf.h"
#include "strangers.bpf.h"

/* Where kudo_gather_*() puts what the rules read of the packet's bytes, in kudo_scratch.payload. */
#define KUDO_AT_HEADER 0     /* IPv4's first 20 bytes */
#define KUDO_AT_TRANSPORT 32 /* ICMP with what it quotes, UDP's header, or ARP */
#define KUDO_AT_FRAGMENT 96  /* IPv6's fragment header */
#define KUDO_AT_END 104
KUDO_ASSERT(KUDO_AT_END <= KUDO_DNS_WINDOW && KUDO_AT_TRANSPORT + KUDO_ICMP_HEADER + KUDO_QUOTED6 <= KUDO_AT_FRAGMENT,
	    "admission's bytes");

kudo_inline int kudo_may_drop_now(const struct kudo_policy *policy)
{
	return policy->deadline == 0 || bpf_ktime_get_boot_ns() < policy->deadline;
}

/* Whether packets are put to the rules now, enum kudo_admission. The deadline needs no process of the agent's. */
kudo_inline __u32 kudo_admission_of(const struct kudo_policy *policy)
{
	__u32 admission = policy->admission;

	return admission == KUDO_ADMISSION_ENFORCE && !kudo_may_drop_now(policy) ? KUDO_ADMISSION_NONE : admission;
}

kudo_noinline int kudo_may_drop(__u32 generation)
{
	return kudo_may_drop_now(&kudo_policies[generation & 1]);
}

/* Is a packet of this judgement dropped? Past its deadline a policy drops nothing. */
kudo_inline int kudo_is_dropped(struct kudo_judgement judgement)
{
	return kudo_verdict_of(judgement) == KUDO_DROP && kudo_may_drop(judgement.generation);
}

/* Which bytes of the packet in kudo_scratch the rules read behind the IP header: where they begin, from the frame's
 * beginning; 0: none. */
kudo_inline __u32 kudo_gathered_offset(const struct kudo_packet *packet)
{
	if (packet->family == 0)
		return packet->ethertype == KUDO_ETHERTYPE_ARP ? packet->l3_offset : 0;
	if (packet->non_first_fragment)
		return 0;
	__u8 protocol = kudo_protocol_of(packet);
	__u32 offset = packet->l3_offset + packet->header_length;

	if (protocol == KUDO_PROTOCOL_UDP)
		return offset - sizeof(struct kudo_udp_header);
	return protocol == (packet->family == 4 ? KUDO_PROTOCOL_ICMP : KUDO_PROTOCOL_ICMPV6) ? offset : 0;
}

/* How many of them: as many of `bytes` as the IP packet has, else 8, else 0. */
#define kudo_gather(load, context, scratch)                                                                            \
	do {                                                                                                           \
		const struct kudo_packet *packet_ = &(scratch)->packet;                                                \
		__u32 offset_ = kudo_gathered_offset(packet_), end_ = packet_->l3_offset + packet_->l3_length;         \
		__u32 whole_ = packet_->family == 4 ? KUDO_ICMP_HEADER + KUDO_QUOTED4                                  \
						    : KUDO_ICMP_HEADER + KUDO_QUOTED6;                                 \
		(scratch)->gathered = 0;                                                                               \
		if (packet_->family == 4)                                                                              \
			load(context, packet_->l3_offset, (scratch)->payload + KUDO_AT_HEADER, 20);                    \
		if (packet_->fragment_header)                                                                          \
			load(context, packet_->l3_offset + packet_->fragment_header * 8u, (scratch)->payload + KUDO_AT_FRAGMENT, 8);             \
		if (offset_ == 0)                                                                                      \
			break;                                                                                         \
		if (packet_->family == 0) {                                                                            \
			if (offset_ + KUDO_ARP_BYTES <= end_ &&                                                        \
			    load(context, offset_, (scratch)->payload + KUDO_AT_TRANSPORT, KUDO_ARP_BYTES))            \
				(scratch)->gathered = KUDO_ARP_BYTES;                                                  \
			break;                                                                                         \
		}                                                                                                      \
		if (offset_ + KUDO_ICMP_HEADER <= end_ &&                                                              \
		    load(context, offset_, (scratch)->payload + KUDO_AT_TRANSPORT, 8))                                 \
			(scratch)->gathered = 8;                                                                       \
		if (offset_ + whole_ > end_)                                                                           \
			break;                                                                                         \
		if (packet_->family == 4                                                                               \
			    ? load(context, offset_, (scratch)->payload + KUDO_AT_TRANSPORT,                           \
				   KUDO_ICMP_HEADER + KUDO_QUOTED4)                                                    \
			    : load(context, offset_, (scratch)->payload + KUDO_AT_TRANSPORT,                           \
				   KUDO_ICMP_HEADER + KUDO_QUOTED6))                                                   \
			(scratch)->gathered = whole_;                                                                  \
	} while (0)

#define kudo_load_skb(skb, offset, to, size) (bpf_skb_load_bytes(skb, offset, to, size) == 0)

/* The same of a frame: from its first buffer, else, where frames may have several, from wherever it is. */
#define kudo_load_frame(context, offset, to, size)                                                                     \
	({                                                                                                             \
		__u32 begin_ = (offset);                                                                               \
		int loaded_ = 0;                                                                                       \
		kudo_bound_offset(begin_);                                                                             \
		const __u8 *from_ = (const __u8 *)(long)(context)->data + begin_;                                      \
		if (from_ + (size) <= (const __u8 *)(long)(context)->data_end) {                                       \
			__builtin_memcpy(to, from_, size);                                                             \
			loaded_ = 1;                                                                                   \
		} else if (kudo_xdp_frags) {                                                                           \
			loaded_ = bpf_xdp_load_bytes(context, offset, to, size) == 0;                                  \
		}                                                                                                      \
		loaded_;                                                                                               \
	})

kudo_noinline int kudo_gather_skb(struct __sk_buff *skb)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);

	scratch->is_gso = skb->gso_size != 0;
	scratch->is_known = scratch->is_answer = 0;
	kudo_gather(kudo_load_skb, skb, scratch);
	return 0;
}

kudo_noinline int kudo_gather_frame(struct xdp_md *context)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);

	scratch->is_gso = 0;
	scratch->is_known = scratch->is_answer = 0;
	kudo_gather(kudo_load_frame, context, scratch);
	return 0;
}

/* Has this host sent in the flow? Notes in the subject whether it was as recently as the rules want: UDP 300 s, TCP
 * at any time. `quoted`: of the packet that the current one quotes. */
kudo_noinline int kudo_ask_spoken(__u32 quoted)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const __u64 *last = kudo_outgoing_of(kudo_scratch_packet(scratch, quoted), 0);

	scratch->subject.spoken = 0;
	if (!last)
		return 0;
	scratch->subject.spoken = scratch->subject.protocol == KUDO_PROTOCOL_TCP ||
				  (__s64)(bpf_ktime_get_ns() - *last) < (__s64)KUDO_ANSWERS_UDP;
	return 1;
}

/* What one of them says of it: enum kudo_allow_answer. */
kudo_noinline int kudo_put_to_rule_of(__u32 slot, __u32 index)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return KUDO_ALLOW_NOT;
	return (int)kudo_put_to_rule(kudo_policies[slot & 1].allow[kudo_index(index, KUDO_MAX_ALLOW - 1)],
				     &kudo_scratch_of(cpu)->subject);
}

/* What the allow rules say of scratch.subject, whose addresses the packet has: KUDO_REASON_LIFELINE or _ALLOWED;
 * _UNSOLICITED: there are rules, but none admits it; _STRANGER: there is none. */
kudo_noinline int kudo_put_to_rules(__u32 slot, __u32 quoted)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return KUDO_REASON_STRANGER;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_packet *packet = kudo_scratch_packet(scratch, quoted);
	const struct kudo_policy *policy = &kudo_policies[slot & 1];
	const struct kudo_allow_match *match;
	__u32 answer = KUDO_REASON_STRANGER;

	if (packet->family == 6) {
		struct kudo_lpm6_key key = {.prefix_length = 128};

		__builtin_memcpy(key.address, packet->key6.remote, 16);
		match = slot & 1 ? bpf_map_lookup_elem(&kudo_allow6_1, &key) : bpf_map_lookup_elem(&kudo_allow6_0, &key);
	} else {
		struct kudo_lpm4_key key = {.prefix_length = 32, .address = packet->key4.remote};

		match = slot & 1 ? bpf_map_lookup_elem(&kudo_allow4_1, &key) : bpf_map_lookup_elem(&kudo_allow4_0, &key);
	}
	if (!match)
		return KUDO_REASON_STRANGER;
	for (int i = 0; i < KUDO_MAX_ALLOW_CANDIDATES; i++) {
		__u32 index = match->rules[i];

		if (index == 0)
			break;
		int one = kudo_put_to_rule_of(slot, index);

		scratch->is_answer = one == KUDO_ALLOW_ADMITS_ANSWER;
		if (one >= KUDO_ALLOW_ADMITS)
			return policy->allow[kudo_index(index, KUDO_MAX_ALLOW - 1)].flags & KUDO_ALLOW_LIFELINE
				       ? KUDO_REASON_LIFELINE
				       : KUDO_REASON_ALLOWED;
		if (one == KUDO_ALLOW_MATCHES)
			answer = KUDO_REASON_UNSOLICITED;
	}
	return (int)answer;
}

/* What the range map says of a packet in kudo_scratch: enum kudo_reason as kudo_judge() gives it. Counts nothing. */
kudo_inline int kudo_put_to_map(__u32 generation, __u32 quoted)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return KUDO_REASON_STRANGER;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);

	if (!kudo_has_flow(generation, kudo_scratch_packet(scratch, quoted)))
		return KUDO_REASON_STRANGER;
	kudo_judge_scratch(scratch, generation, quoted);
	return scratch->judged.judgement.reason;
}

kudo_inline struct kudo_fragment_key *kudo_fragment_key_of(struct kudo_scratch *scratch, __u32 direction)
{
	const struct kudo_packet *packet = &scratch->packet;
	struct kudo_fragment_key *key = &scratch->fragment_key;

	__builtin_memset(key, 0, sizeof(*key));
	key->family = packet->family;
	key->direction = (__u8)direction;
	if (packet->family == 4) {
		__builtin_memcpy(key->remote, &packet->key4.remote, 4);
		__builtin_memcpy(key->local, &packet->key4.local, 4);
		__builtin_memcpy(&key->id, scratch->payload + KUDO_AT_HEADER + 4, 2);
		key->protocol = packet->key4.protocol;
	} else {
		__builtin_memcpy(key->remote, packet->key6.remote, 16);
		__builtin_memcpy(key->local, packet->key6.local, 16);
		__builtin_memcpy(&key->id, scratch->payload + KUDO_AT_FRAGMENT + 4, 4);
	}
	return key;
}

/* Step 3: a later fragment. */
kudo_noinline int kudo_admit_fragment(__u32 direction, __u32 generation)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return KUDO_REASON_FRAGMENT_WITHOUT_FIRST;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_fragments *first =
		bpf_map_lookup_elem(&kudo_fragments, kudo_fragment_key_of(scratch, direction));

	scratch->is_known = kudo_put_to_map(generation, 0) != KUDO_REASON_STRANGER;

	if (!first || bpf_ktime_get_ns() - first->first_seen >= KUDO_FRAGMENT_LIFETIME)
		return KUDO_REASON_FRAGMENT_WITHOUT_FIRST;
	return kudo_fragment_offset(&scratch->packet) < first->end ? KUDO_REASON_OVERLAPPING_FRAGMENT
								   : KUDO_REASON_LATER_FRAGMENT;
}

/* Step 8 for first fragments. */
kudo_noinline int kudo_note_first_fragment(__u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_packet *packet = &scratch->packet;
	__u32 begin = packet->family == 4 ? packet->l3_offset + sizeof(struct kudo_ipv4_header)
					  : packet->l3_offset + packet->fragment_header * 8u + 8u;
	struct kudo_fragments first = {.first_seen = bpf_ktime_get_ns(),
				       .end = packet->l3_offset + packet->l3_length - begin};

	bpf_map_update_elem(&kudo_fragments, kudo_fragment_key_of(scratch, direction), &first, BPF_ANY);
	return 0;
}

/* What the packet in kudo_scratch is to the rules: scratch.subject. */
kudo_noinline int kudo_make_subject(__u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_packet *packet = &scratch->packet;
	struct kudo_subject *subject = &scratch->subject;
	int v4 = packet->family == 4;

	subject->family = packet->family;
	subject->kind = KUDO_ALLOW_PROTOCOL;
	subject->protocol = v4 ? packet->key4.protocol : packet->key6.protocol;
	subject->remote_port = v4 ? packet->key4.remote_port : packet->key6.remote_port;
	subject->local_port = v4 ? packet->key4.local_port : packet->key6.local_port;
	subject->direction = (__u8)direction;
	subject->opens = packet->opens;
	subject->is_request = 0;
	subject->spoken = 0;
	if (subject->protocol == (v4 ? KUDO_PROTOCOL_ICMP : KUDO_PROTOCOL_ICMPV6) && scratch->gathered >= KUDO_ICMP_HEADER)
		kudo_read_icmp(subject, scratch->payload[KUDO_AT_TRANSPORT], packet->hop_limit);
	return 0;
}

/* ARP, and what is no IP packet at all. */
kudo_noinline int kudo_admit_link(__u32 direction, __u32 generation)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return KUDO_REASON_NOT_IP_DENIED;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	struct kudo_subject *subject = &scratch->subject;

	if (kudo_is_link_control(scratch->packet.ethertype))
		return KUDO_REASON_LINK_CONTROL;
	if (scratch->packet.ethertype != KUDO_ETHERTYPE_ARP || scratch->gathered != KUDO_ARP_BYTES ||
	    !kudo_read_arp(scratch->payload + KUDO_AT_TRANSPORT, direction, &scratch->quoted.key4.remote))
		return KUDO_REASON_NOT_IP_DENIED;
	scratch->quoted.family = subject->family = 4;
	subject->kind = KUDO_ALLOW_ARP;
	subject->protocol = 0;
	subject->direction = (__u8)direction;
	int answer = kudo_put_to_rules(generation & 1, 1);

	return answer == KUDO_REASON_STRANGER || answer == KUDO_REASON_UNSOLICITED ? KUDO_REASON_NOT_IP_DENIED : answer;
}

/* The current packet is an ICMP error: scratch.if_related, if what it quotes is of an admitted flow. Overwrites
 * scratch.subject. */
kudo_noinline int kudo_admit_quoted(__u32 direction, __u32 generation)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return KUDO_REASON_ICMP_UNRELATED;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	struct kudo_subject *subject = &scratch->subject;

	if (scratch->gathered < (scratch->packet.family == 4 ? KUDO_ICMP_HEADER + KUDO_QUOTED4
							      : KUDO_ICMP_HEADER + KUDO_QUOTED6) ||
	    !kudo_read_quoted(scratch->payload + KUDO_AT_TRANSPORT + KUDO_ICMP_HEADER, &scratch->packet, direction,
			      &scratch->quoted, subject))
		return KUDO_REASON_ICMP_UNRELATED;
	kudo_set_interface(&scratch->quoted,
			   scratch->packet.family == 4 ? scratch->packet.key4.interface : scratch->packet.key6.interface);
	int reason = kudo_put_to_map(generation, 1);

	if (subject->kind == KUDO_ALLOW_ECHO) {
		int ours = (subject->direction == KUDO_EGRESS) == (subject->is_request != 0);

		if (reason == KUDO_REASON_ICMP && ours)
			return (int)scratch->if_related;
	} else if (kudo_ask_spoken(1) && kudo_is_of_map((__u32)reason)) {
		return (int)scratch->if_related;
	}
	reason = kudo_put_to_rules(generation & 1, 1);
	scratch->is_answer = 0; /* not of the error itself */
	return reason == KUDO_REASON_ALLOWED || reason == KUDO_REASON_LIFELINE ? (int)scratch->if_related
									       : KUDO_REASON_ICMP_UNRELATED;
}

/* An ICMP error: it is scratch.if_related, if the packet that it quotes is admitted. Asked by the caller: the stacks of
 * functions that call each other have 512 bytes together. */
#define KUDO_ASK_QUOTED KUDO_MAX_REASONS

/* Steps 4 to 6 of an IP packet that is no later fragment: enum kudo_reason or KUDO_ASK_QUOTED. */
kudo_noinline int kudo_admit_packet(__u32 direction, __u32 generation)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return KUDO_REASON_STRANGER;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_subject *subject = &scratch->subject;
	int incoming = direction == KUDO_INGRESS;

	kudo_make_subject(direction);
	__u32 reason = (__u32)kudo_put_to_map(generation, 0);
	scratch->is_known = reason != KUDO_REASON_STRANGER;
	if (kudo_has_ports(subject->protocol) && incoming) {
		int spoken = kudo_ask_spoken(0);

		if (kudo_is_of_map(reason) && (subject->opens || !spoken))
			return KUDO_REASON_UNSOLICITED;
	}
	if (kudo_is_of_map(reason))
		return (int)reason;
	if (subject->kind == KUDO_ALLOW_ICMP_ERROR) {
		__u32 rules = (__u32)kudo_put_to_rules(generation & 1, 0);

		if (rules == KUDO_REASON_STRANGER && !scratch->is_known)
			return KUDO_REASON_STRANGER;
		scratch->if_related = scratch->is_known ? KUDO_REASON_ICMP : rules;
		return KUDO_ASK_QUOTED;
	}
	if (reason == KUDO_REASON_ICMP) {
		if (subject->kind == KUDO_ALLOW_ECHO && incoming != (subject->is_request != 0))
			return KUDO_REASON_ICMP;
		reason = KUDO_REASON_ICMP_DENIED;
	}
	__u32 rules = (__u32)kudo_put_to_rules(generation & 1, 0);

	return rules == KUDO_REASON_STRANGER ? (int)reason : (int)rules;
}

/* The reasons that a flow's own judgement has, and so the packets that are counted as its. */
#define KUDO_FLOWS_REASONS                                                                                             \
	(1u << KUDO_REASON_RULE | 1u << KUDO_REASON_ICMP | 1u << KUDO_REASON_LATER_FRAGMENT |                          \
	 1u << KUDO_REASON_PORT_NOT_LISTED | 1u << KUDO_REASON_OTHER_PROTOCOL | 1u << KUDO_REASON_NAME)

kudo_inline int kudo_is_admitted(__u32 reason)
{
	return !(KUDO_DROPPED_REASONS >> (reason & (KUDO_MAX_REASONS - 1)) & 1);
}

/* Step 7: what speaks against a packet that was admitted for `reason`, else that. */
kudo_noinline int kudo_veto(__u32 direction, __u32 reason)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return (int)reason;
	const struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_packet *packet = &scratch->packet;
	const struct kudo_subject *subject = &scratch->subject;
	int incoming = direction == KUDO_INGRESS;

	if (packet->has_options)
		return KUDO_REASON_IP_OPTIONS;
	if (incoming && packet->family == 4 && !kudo_is_header_sum_right(scratch->payload + KUDO_AT_HEADER))
		return KUDO_REASON_BAD_CHECKSUM;
	if (packet->non_first_fragment)
		return (int)reason;
	__u8 protocol = kudo_protocol_of(packet);
	int is_dhcp = protocol == KUDO_PROTOCOL_UDP &&
		      (packet->family == 4
			       ? packet->key4.local_port == KUDO_DHCP4_CLIENT && packet->key4.remote_port == KUDO_DHCP4_SERVER
			       : packet->key6.local_port == KUDO_DHCP6_CLIENT &&
					 packet->key6.remote_port == KUDO_DHCP6_SERVER);

	if (incoming && (reason == KUDO_REASON_ALLOWED || reason == KUDO_REASON_LIFELINE) && !is_dhcp &&
	    subject->kind != KUDO_ALLOW_NEIGHBOUR && kudo_is_bad_source(packet))
		return KUDO_REASON_BAD_SOURCE;
	if (protocol == KUDO_PROTOCOL_UDP && !scratch->is_gso) {
		__u32 length = kudo_load16(scratch->payload + KUDO_AT_TRANSPORT + 4);
		__u32 left = packet->l3_length - (packet->header_length - (__u32)sizeof(struct kudo_udp_header));

		if (length < sizeof(struct kudo_udp_header) || (length > left && !kudo_more_fragments(packet)))
			return KUDO_REASON_BAD_TRANSPORT;
	}
	return (int)reason;
}

/* Lets plain packets of the same flow skip the rules for a moment; but not those whose payload is inspected. */
kudo_noinline int kudo_note_admitted(__u32 direction, __u32 generation)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	const struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_packet *packet = &scratch->packet;
	__u32 slot = kudo_cache_slot(packet) >> 1;
	struct kudo_admitted *admitted =
		&cpu->admitted[direction & 1][kudo_index(slot, KUDO_ADMITTED_SLOTS - 1)];
	__u16 port = kudo_remote_port_of(packet);

	/* What opens a flow may be another rule's than what follows; a rehearsal counts what is no flow of KUDO's otherwise. */
	if (packet->opens ||
	    (!kudo_is_of_map(scratch->admitted) &&
	     (port == KUDO_STUN_PORT || port == KUDO_DNS_PORT ||
	      kudo_policies[generation & 1].admission != KUDO_ADMISSION_ENFORCE)))
		return 0;
	admitted->window = (__u32)(bpf_jiffies64() >> KUDO_ADMITTED_TICKS_SHIFT);
	admitted->reason = (__u8)scratch->admitted;
	admitted->family = packet->family;
	if (packet->family == 4)
		admitted->key4 = packet->key4;
	else
		admitted->key6 = packet->key6;
	admitted->generation = generation;
	return 0;
}

/* Steps 7 and 8 for a packet that was parsed. The reason is in scratch.admitted. */
kudo_noinline int kudo_finish_admission(__u32 direction, __u32 generation, __u32 reason)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_packet *packet = &scratch->packet;

	if (kudo_is_admitted(reason))
		reason = (__u32)kudo_veto(direction, reason);
	scratch->admitted = reason;
	if (!kudo_is_admitted(reason) || packet->non_first_fragment)
		return 0;
	int is_answer = !kudo_is_of_map(reason) && scratch->is_answer;

	/* What anybody may send without having been asked does not fill the tables. */
	if (kudo_more_fragments(packet) && !(is_answer && reason == KUDO_REASON_LIFELINE))
		kudo_note_first_fragment(direction);
	if (!kudo_has_ports(kudo_protocol_of(packet)))
		return 0;
	if (direction == KUDO_EGRESS && !is_answer)
		kudo_speak();
	kudo_note_admitted(direction, generation);
	return 0;
}

/* All steps for the packet in kudo_scratch, which was parsed with this `parsed` reason and gathered. The reason is in
 * scratch.admitted, and whether its flow is one of KUDO's in scratch.is_known. Inline, since the stacks of functions that
 * call each other have 512 bytes together. */
kudo_inline void kudo_admit(struct kudo_scratch *scratch, __u32 direction, __u32 generation, __u32 parsed)
{
	__u32 reason;

	if (parsed) {
		scratch->admitted = parsed == KUDO_REASON_NOT_IP ? (__u32)kudo_admit_link(direction, generation) : parsed;
		return;
	}
	if (scratch->packet.non_first_fragment) {
		reason = (__u32)kudo_admit_fragment(direction, generation);
	} else {
		reason = (__u32)kudo_admit_packet(direction, generation);
		if (reason == KUDO_ASK_QUOTED)
			reason = (__u32)kudo_admit_quoted(direction, generation);
	}
	kudo_finish_admission(direction, generation, reason);
}

/* Enters the packet in kudo_scratch, which was not admitted for `reason`, into the table of denied flows. `all`: however
 * many there are. */
kudo_noinline int kudo_note_denied(__u32 reason, __u32 all)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	struct kudo_counters *counters = &cpu->counters;
	const struct kudo_packet *packet = &scratch->packet;
	const struct kudo_tally *tally = &scratch->tally;
	__u64 now = bpf_jiffies64();
	struct kudo_denied fresh = {.first_seen = now, .last_seen = now};
	struct kudo_denied *denied = 0;

	if (cpu->denied_window != now >> KUDO_DENIED_TICKS_SHIFT) {
		cpu->denied_window = now >> KUDO_DENIED_TICKS_SHIFT;
		cpu->denied_entered = 0;
	}
	if (all || cpu->denied_entered < KUDO_DENIED_BURST) {
		cpu->denied_entered++;
		if (packet->family == 4)
			denied = kudo_find_or_enter(&kudo_denied4, &packet->key4, &fresh);
		else if (packet->family == 6)
			denied = kudo_find_or_enter(&kudo_denied6, &packet->key6, &fresh);
	}
	if (!denied) {
		counters->denied_untracked += tally->wire.packets;
		return 0;
	}
	struct kudo_counter *counter = &denied->directions[tally->direction & 1];

	__sync_fetch_and_add(&counter->packets, tally->wire.packets);
	__sync_fetch_and_add(&counter->bytes, tally->wire.bytes);
	denied->reasons[tally->direction & 1] = (__u8)reason;
	denied->last_seen = now;
	return 0;
}

/* What follows for the packet in kudo_scratch that has gone through kudo_admit(), with its tally there: what it is to be
 * counted as, for kudo_handle(): 0: as its flow, else enum kudo_reason. `parsed`: of the parser. */
kudo_noinline int kudo_settle_admission(__u32 parsed, __u32 admission)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return (int)parsed;
	const struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_tally *tally = &scratch->tally;
	__u32 reason = kudo_index(scratch->admitted, KUDO_MAX_REASONS - 1);

	if (!kudo_is_admitted(reason) && tally->counting) {
		kudo_note_denied(reason, admission == KUDO_ADMISSION_REHEARSE);
		if (admission == KUDO_ADMISSION_REHEARSE) {
			struct kudo_counter *counter = &cpu->counters.would_drop[reason][tally->direction & 1];

			counter->packets += tally->wire.packets;
			counter->bytes += tally->wire.bytes;
		}
	}
	if (admission == KUDO_ADMISSION_REHEARSE)
		return (int)parsed;
	return scratch->is_known && (1u << reason & KUDO_FLOWS_REASONS) ? 0 : (int)reason;
}

enum kudo_at_once {
	KUDO_AT_ONCE_UNKNOWN = 0, /* the rules must be asked */
	KUDO_AT_ONCE_DROP = 1,    /* and it is counted */
	KUDO_AT_ONCE_PASS = 2,    /* likewise */
	KUDO_AT_ONCE_FLOW = 3,    /* as its flow says: not yet counted */
};

/* What can be said of a packet of kudo_parse_fast_head(), with its key and interface, without asking the rules: of a
 * stranger whom no rule can admit, while there is no room to note it; and of a flow that this CPU has just admitted, if
 * the packet does not open it and nothing vetoes it. `has_flow`: the prefilter says that it may be KUDO's. */
kudo_inline enum kudo_at_once kudo_admit_at_once(struct kudo_cpu *cpu, __u32 generation, int has_flow,
							const struct kudo_packet *packet, const __u8 *network,
							const __u8 *end, const struct kudo_tally *tally, int is_gso)
{
	const struct kudo_policy *policy = &kudo_policies[generation & 1];
	__u64 now = bpf_jiffies64();
	int v4 = packet->family == 4;
	__u16 remote_port = v4 ? packet->key4.remote_port : packet->key6.remote_port;
	__u16 local_port = v4 ? packet->key4.local_port : packet->key6.local_port;

	if (!kudo_may_drop_now(policy))
		return KUDO_AT_ONCE_UNKNOWN;
	if (!has_flow && !kudo_allow_maybe(policy, remote_port, local_port)) {
		if (policy->admission != KUDO_ADMISSION_ENFORCE || cpu->denied_entered < KUDO_DENIED_BURST ||
		    cpu->denied_window != now >> KUDO_DENIED_TICKS_SHIFT)
			return KUDO_AT_ONCE_UNKNOWN;
		cpu->counters.denied_untracked += tally->wire.packets;
		kudo_handle_untracked(cpu, generation, KUDO_REASON_STRANGER, tally);
		return KUDO_AT_ONCE_DROP;
	}
	__u32 slot = kudo_cache_slot(packet) >> 1 & (KUDO_ADMITTED_SLOTS - 1);
	const struct kudo_admitted *admitted =
		&cpu->admitted[tally->direction & 1][kudo_index(slot, KUDO_ADMITTED_SLOTS - 1)];

	if (admitted->generation != generation || admitted->window != (__u32)(now >> KUDO_ADMITTED_TICKS_SHIFT) ||
	    admitted->family != packet->family ||
	    !(v4 ? kudo_words_equal(&admitted->key4, &packet->key4, sizeof(packet->key4) / 4)
		 : kudo_words_equal(&admitted->key6, &packet->key6, sizeof(packet->key6) / 4)))
		return KUDO_AT_ONCE_UNKNOWN;
	if (!kudo_is_plain(network, end, packet, tally->direction, is_gso))
		return KUDO_AT_ONCE_UNKNOWN;
	if (kudo_is_of_map(admitted->reason))
		return KUDO_AT_ONCE_FLOW;
	kudo_handle_untracked(cpu, generation, admitted->reason, tally);
	return KUDO_AT_ONCE_PASS;
}

#endif /* KUDO_ADMISSION_BPF_H */
