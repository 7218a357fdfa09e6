/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* This host's DNS queries for the policy's names, and the responses.
 * Invariant: a query for any other name leaves no trace; a response is one only if it comes from the server that was
 * queried, to the port that sent the query, with the query's identifier, and each query has one response. Nothing here
 * decides over pass or drop, and no packet is changed. */
#ifndef KUDO_DNS_BPF_H
#define KUDO_DNS_BPF_H

#include "dns.h"
#include "flow.bpf.h"
#include "frame.bpf.h"

kudo_inline struct kudo_query_key kudo_query_key_of(const struct kudo_packet *packet, __u16 id)
{
	struct kudo_query_key key = {.family = packet->family, .id = id};

	if (packet->family == 4) {
		__builtin_memcpy(key.server, &packet->key4.remote, 4);
		key.local_port = packet->key4.local_port;
	} else {
		__builtin_memcpy(key.server, packet->key6.remote, 16);
		key.local_port = packet->key6.local_port;
	}
	return key;
}

/* kudo_add_query_label() of the payload in kudo_scratch. */
kudo_noinline int kudo_add_scratch_label(__u32 at, __u32 available)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	return cpu ? (int)kudo_add_query_label(kudo_scratch_of(cpu)->payload, at, available,
					       &kudo_scratch_of(cpu)->dns_name)
		   : 0;
}

kudo_inline __u32 kudo_add_label(const __u8 *payload, __u32 at, __u32 available, struct kudo_dns_name *name)
{
	(void)payload, (void)name;
	return (__u32)kudo_add_scratch_label(at, available);
}

/* kudo_extend_search() and kudo_is_candidate() for the name in kudo_scratch. */
kudo_noinline int kudo_extend_scratch_search(__u32 generation, __u32 back)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	return cpu ? kudo_extend_search(&kudo_policies[generation & 1], &kudo_scratch_of(cpu)->dns_name, back,
					&kudo_scratch_of(cpu)->search)
		   : 0;
}

kudo_noinline int kudo_is_scratch_candidate(__u32 generation)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	return cpu ? kudo_is_candidate(&kudo_policies[generation & 1], kudo_scratch_of(cpu)->payload, KUDO_DNS_WINDOW,
				       &kudo_scratch_of(cpu)->search)
		   : 0;
}

kudo_inline int kudo_search_next(const struct kudo_policy *policy, const __u8 *bytes, __u32 window,
				 const struct kudo_dns_name *name, __u32 back, struct kudo_domain_search *search)
{
	__u32 generation = policy->generation;

	(void)bytes, (void)window, (void)name;
	if (!kudo_extend_scratch_search(generation, back))
		return 0;
	if (search->candidate && kudo_is_scratch_candidate(generation))
		search->found = search->candidate;
	return 1;
}

/* The key of the policy's domain that the name in kudo_scratch is under; 0: none. */
kudo_inline __u64 kudo_domain_of_scratch(struct kudo_scratch *scratch, __u32 generation)
{
	return kudo_domain_of_name(kudo_search_next, &kudo_policies[generation & 1], scratch->payload, KUDO_DNS_WINDOW,
				   &scratch->dns_name, &scratch->search);
}

/* Notes the outgoing datagram in kudo_scratch, of whose payload `available` bytes are there, if it is such a query. */
kudo_noinline int kudo_note_query(__u32 available, __u32 generation)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_dns_query query = {};

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);

	if (available < KUDO_DNS_HEADER || !kudo_is_dns_query(scratch->payload) ||
	    !kudo_read_dns_name_by(kudo_add_label, scratch->payload, available, &scratch->dns_name, &query) ||
	    !kudo_domain_maybe(&kudo_policies[generation & 1], query.ending))
		return 0;
	const struct kudo_packet *packet = &scratch->packet;
	struct kudo_query_key key = kudo_query_key_of(packet, query.id);
	struct kudo_query entry = {
		.hash = query.hash,
		.domain = kudo_domain_of_scratch(scratch, generation),
		.sent = bpf_ktime_get_ns(),
		.interface = packet->family == 4 ? packet->key4.interface : packet->key6.interface,
	};

	bpf_map_update_elem(&kudo_queries, &key, &entry, BPF_ANY);
	*(volatile __u64 *)&kudo_last_query = bpf_jiffies64();
	return 0;
}

/* 0: no query is outstanding, so no datagram can be a response. */
kudo_inline int kudo_awaits_response(void)
{
	return bpf_jiffies64() - *(volatile __u64 *)&kudo_last_query < KUDO_QUERY_LIFETIME_TICKS;
}

/* May the incoming datagram in kudo_scratch, of which the DNS header is there, be a response to one of the queries? Then
 * where to put its message is returned: kudo_learn_response() looks at it. `length`: of what answers no query no more than its
 * question is wanted. */
kudo_inline struct kudo_response *kudo_begin_response(struct kudo_cpu *cpu, __u32 *length)
{
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	__u32 zero = 0;

	if (!kudo_is_dns_response(scratch->payload))
		return 0;
	struct kudo_query_key key = kudo_query_key_of(&scratch->packet, kudo_load16(scratch->payload));

	if (!bpf_map_lookup_elem(&kudo_queries, &key)) {
		if (*length > KUDO_DNS_WINDOW)
			*length = KUDO_DNS_WINDOW;
	} else if (*length > KUDO_RESPONSE_BYTES) {
		cpu->counters.dns[KUDO_ANSWER_TOO_LARGE]++;
		return 0;
	}
	return bpf_map_lookup_elem(&kudo_response_scratch, &zero);
}

/* Puts the message into kudo_response_scratch. `offset`: of the payload, which is `length` long and whose header is in
 * kudo_scratch. 1: it is there. */
kudo_noinline int kudo_keep_frame_response(struct xdp_md *context, __u32 offset, __u32 length)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_response *response = kudo_begin_response(cpu, &length);
	if (!response)
		return 0;
	if (kudo_xdp_frags) {
		__u32 size = length;

		kudo_opaque(size);
		if (size < KUDO_DNS_HEADER || size > KUDO_RESPONSE_BYTES ||
		    bpf_xdp_load_bytes(context, offset, response->message, size) != 0)
			return 0;
	} else {
		/* Kernels before 5.18 have no helper for this. */
		kudo_bound_offset(offset);
		const __u8 *byte = (const __u8 *)(long)context->data + offset;
		const __u8 *end = (const __u8 *)(long)context->data_end;

		for (__u32 i = 0; i < KUDO_RESPONSE_BYTES; i++, byte++) {
			if (i >= length || byte + 1 > end)
				break;
			response->message[i] = *byte;
		}
	}
	response->length = length;
	return 1;
}

kudo_noinline int kudo_keep_skb_response(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_response *response = kudo_begin_response(cpu, &length);
	if (!response)
		return 0;
	__u32 size = length;

	kudo_opaque(size);
	if (size < KUDO_DNS_HEADER || size > KUDO_RESPONSE_BYTES ||
	    bpf_skb_load_bytes(skb, offset, response->message, size) != 0)
		return 0;
	response->length = length;
	return 1;
}

#endif /* KUDO_DNS_BPF_H */
