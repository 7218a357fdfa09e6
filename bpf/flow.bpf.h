/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Steps 2 to 5 and 7 of the way of a packet, the same for every hook: read the generation, prefilter, find the flow,
 * judge, count. Included by kudo.bpf.c only. Invariant: the generation is read once per packet and everything hangs off
 * it; every packet is counted under exactly one reason. */
#ifndef KUDO_FLOW_BPF_H
#define KUDO_FLOW_BPF_H

#include "judge.h"
#include "maps.bpf.h"
#include "parse.h"
#include "prefilter.h"

union kudo_judgement_word {
	struct kudo_judgement judgement;
	__u64 word;
};

/* The one door through which every packet is counted. Per-CPU and with softirqs off: plain additions are exact. */
kudo_inline void kudo_count(__u32 direction, struct kudo_judgement judgement, struct kudo_counter wire)
{
	__u32 zero = 0;
	struct kudo_counters *counters = bpf_map_lookup_elem(&kudo_counters, &zero);

	if (!counters)
		return;
	struct kudo_counter *reason = &counters->reasons[judgement.reason & (KUDO_MAX_REASONS - 1)][direction];
	reason->packets += wire.packets;
	reason->bytes += wire.bytes;
	if (judgement.service == 0)
		return;
	struct kudo_counter *service = &counters->services[judgement.service & (KUDO_MAX_SERVICES - 1)]
							  [kudo_class_of(judgement) & (KUDO_CLASSES - 1)][direction];
	service->packets += wire.packets;
	service->bytes += wire.bytes;
}

kudo_inline void kudo_count_unrecorded(__u64 packets)
{
	__u32 zero = 0;
	struct kudo_counters *counters = bpf_map_lookup_elem(&kudo_counters, &zero);

	if (counters)
		counters->unrecorded_flows += packets;
}

kudo_inline void kudo_count_flow(struct kudo_flow *flow, __u32 direction, struct kudo_counter wire)
{
	struct kudo_counter *counter = &flow->directions[direction];

	__sync_fetch_and_add(&counter->packets, wire.packets);
	__sync_fetch_and_add(&counter->bytes, wire.bytes);
	flow->last_seen = bpf_jiffies64();
}

kudo_inline struct kudo_match *kudo_longest_match(const struct kudo_packet *packet, __u32 slot)
{
	if (packet->family == 4) {
		struct kudo_lpm4_key key = {.prefix_length = 32, .address = packet->key4.remote};
		if (slot)
			return bpf_map_lookup_elem(&kudo_lpm4_1, &key);
		return bpf_map_lookup_elem(&kudo_lpm4_0, &key);
	}
	struct kudo_lpm6_key key = {.prefix_length = 128};
	__builtin_memcpy(key.address, packet->key6.remote, 16);
	if (slot)
		return bpf_map_lookup_elem(&kudo_lpm6_1, &key);
	return bpf_map_lookup_elem(&kudo_lpm6_0, &key);
}

kudo_inline int kudo_may_be_known(const struct kudo_policy *policy, const struct kudo_packet *packet)
{
	if (packet->family == 4)
		return kudo_prefilter_hit(policy->prefilter4, kudo_prefilter4_bit(kudo_swap32(packet->key4.remote)));
	__be32 high;
	__builtin_memcpy(&high, packet->key6.remote, 4);
	return kudo_prefilter_hit(policy->prefilter6, kudo_prefilter6_bit(kudo_swap32(high)));
}

kudo_inline struct kudo_flow *kudo_find_flow(const struct kudo_packet *packet)
{
	if (packet->family == 4)
		return bpf_map_lookup_elem(&kudo_flows4, &packet->key4);
	return bpf_map_lookup_elem(&kudo_flows6, &packet->key6);
}

/* A new flow, or the one that another CPU entered a moment before. Null: the table gave no room. */
kudo_inline struct kudo_flow *kudo_enter_flow(const struct kudo_packet *packet, __u64 judgement)
{
	struct kudo_flow flow = {.judgement = judgement, .first_seen = bpf_jiffies64()};

	if (packet->family == 4)
		bpf_map_update_elem(&kudo_flows4, &packet->key4, &flow, BPF_NOEXIST);
	else
		bpf_map_update_elem(&kudo_flows6, &packet->key6, &flow, BPF_NOEXIST);
	return kudo_find_flow(packet);
}

/* Judges a frame and, if `counting`, counts it. `reason`: what kudo_parse() returned. */
kudo_inline struct kudo_judgement kudo_handle(const struct kudo_packet *packet, __u32 reason, __u32 direction,
					      struct kudo_counter wire, int counting)
{
	__u32 generation = *(volatile __u32 *)&kudo_active;
	__u32 slot = generation & 1;
	const struct kudo_policy *policy = &kudo_policies[slot];
	union kudo_judgement_word judged = {.word = 0}; /* reason no_policy, verdict pass */

	if (generation == 0) {
		if (counting)
			kudo_count(direction, judged.judgement, wire);
		return judged.judgement;
	}
	if (reason) {
		judged.judgement = kudo_judge_unparsed(policy, reason);
		if (counting)
			kudo_count(direction, judged.judgement, wire);
		return judged.judgement;
	}
	if (!kudo_may_be_known(policy, packet)) {
		judged.judgement = kudo_judge_unparsed(policy, KUDO_REASON_STRANGER);
		if (counting)
			kudo_count(direction, judged.judgement, wire);
		return judged.judgement;
	}

	struct kudo_flow *flow = kudo_find_flow(packet);
	if (flow)
		judged.word = *(volatile __u64 *)&flow->judgement;
	if (!flow || judged.judgement.generation != generation) {
		struct kudo_match *match = kudo_longest_match(packet, slot);
		__u8 protocol = packet->family == 4 ? packet->key4.protocol : packet->key6.protocol;
		__u16 port = packet->family == 4 ? packet->key4.remote_port : packet->key6.remote_port;

		judged.judgement = kudo_judge(policy, match, protocol, port, packet->later_fragment);
		if (judged.judgement.reason == KUDO_REASON_STRANGER)
			flow = 0; /* what an older map called KUDO's is not counted as a flow any more */
		else if (flow && counting)
			*(volatile __u64 *)&flow->judgement = judged.word;
		else if (counting) {
			flow = kudo_enter_flow(packet, judged.word);
			if (!flow)
				kudo_count_unrecorded(wire.packets);
		}
	}
	if (counting) {
		if (flow)
			kudo_count_flow(flow, direction, wire);
		kudo_count(direction, judged.judgement, wire);
	}
	return judged.judgement;
}

#endif /* KUDO_FLOW_BPF_H */
