/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Steps 2 to 5 and 7 of a packet's path, the same for every hook: read the generation, prefilter, find the flow (in
 * this CPU's cache, else in the flow table), judge, count.
 * Invariant: the generation is read once per packet and everything depends on it; every packet is counted under exactly
 * one reason. */
#ifndef KUDO_FLOW_BPF_H
#define KUDO_FLOW_BPF_H

#include "admit.h"
#include "dns_answer.h"
#include "flow_cache.h"
#include "judge.h"
#include "maps.bpf.h"
#include "named.bpf.h"
#include "on_the_wire.h"
#include "parse.h"
#include "parse_fast.h"
#include "rtp.h"
#include "tls.h"

/* What one packet adds to the counters. */
struct kudo_tally {
	struct kudo_counter wire;
	__u32 direction;
	__u32 counting; /* 0: another program on this packet's path counts it */
};

/* The current packet, for the functions that are not inlined, in kudo_cpu.scratch: with no arguments but numbers the
 * verifier checks each of them once and not once for every path that leads to it. Softirqs are off, so there is no
 * other packet on this CPU meanwhile; not so on PREEMPT_RT kernels without CONFIG_PREEMPT_RT_NEEDS_BH_LOCK. */
struct kudo_scratch {
	struct kudo_packet packet;
	struct kudo_tally tally;
	union kudo_judgement_word judged;
	union {
		struct kudo_rtp_packet rtp;
		struct { /* of names: see dns.bpf.h, learn.bpf.h and tls.bpf.h */
			struct kudo_dns_name dns_name;
			struct kudo_domain_search search;
			struct kudo_dns_walk walk;
			struct kudo_learned learned;
			__u64 domain; /* of the query */
			struct kudo_hello_walk hello;
		};
	};
	__u64 forgotten; /* kudo_forgotten() */
	__u32 way; /* of the RTP stream's bucket; which one of a few, wherever else that is looked for */
	__u32 row; /* of kudo_qualities: the RTP stream's */
	/* Of admission: see admission.bpf.h. */
	struct kudo_packet quoted;
	struct kudo_subject subject;
	__u32 gathered; /* bytes of the packet behind its IP header that are in `payload` */
	__u32 is_known; /* the remote is in a range */
	__u32 admitted; /* enum kudo_reason */
	__u32 if_related; /* what an ICMP error is then */
	__u32 is_gso;
	__u32 is_answer; /* the rule that admits it lets the remote open */
	struct kudo_fragment_key fragment_key;
	struct kudo_flow flow; /* a new one: too large for the stacks of those who enter it */
	/* The beginning of a media datagram's payload, or of a stranger's that is inspected. */
	__u8 payload[KUDO_DNS_WINDOW];
};
KUDO_ASSERT(KUDO_RTP_WINDOW <= KUDO_DNS_WINDOW && KUDO_STUN_HEADER <= KUDO_DNS_WINDOW, "payload");
KUDO_ASSERT(sizeof(struct kudo_scratch) <= sizeof(((struct kudo_cpu *)0)->scratch), "scratch");

kudo_inline struct kudo_cpu *kudo_this_cpu(void)
{
	__u32 id = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&kudo_cpus, &id); /* never null: there is one for each possible CPU */
}

kudo_inline struct kudo_scratch *kudo_scratch_of(struct kudo_cpu *cpu)
{
	return (struct kudo_scratch *)cpu->scratch;
}

/* The only place that counts a packet. Each CPU has its own counters and softirqs are off: plain additions are
 * exact. */
kudo_inline void kudo_count(struct kudo_counters *counters, struct kudo_judgement judgement,
			    const struct kudo_tally *tally)
{
	struct kudo_counter *reason =
		&counters->reasons[kudo_index(judgement.reason, KUDO_MAX_REASONS - 1)][tally->direction & 1];
	reason->packets += tally->wire.packets;
	reason->bytes += tally->wire.bytes;
	if (judgement.service == 0)
		return;
	struct kudo_counter *service =
		&counters->services[kudo_index(judgement.service, KUDO_MAX_SERVICES - 1)]
				   [kudo_index(kudo_class_of(judgement), KUDO_CLASSES - 1)][tally->direction & 1];
	service->packets += tally->wire.packets;
	service->bytes += tally->wire.bytes;
}

kudo_inline void kudo_set_interface(struct kudo_packet *packet, __u32 interface)
{
	if (packet->family == 4)
		packet->key4.interface = interface;
	else
		packet->key6.interface = interface;
}

/* A new flow, or the one that another CPU has just entered. Null: the table gave no room. */
kudo_inline struct kudo_flow *kudo_enter_flow(struct kudo_scratch *scratch, const void *key, int ipv6, __u64 judgement,
					      __u64 now)
{
	struct kudo_flow *flow = &scratch->flow;

	__builtin_memset(flow, 0, sizeof(*flow));
	flow->judgement = judgement;
	flow->first_seen = flow->last_seen = now;
	if (ipv6)
		bpf_map_update_elem(&kudo_flows6, key, flow, BPF_NOEXIST);
	else
		bpf_map_update_elem(&kudo_flows4, key, flow, BPF_NOEXIST);
	return kudo_find_flow(key, ipv6);
}

kudo_inline void kudo_add_to_flow(struct kudo_flow *flow, __u32 direction, __u64 packets, __u64 bytes)
{
	__sync_fetch_and_add(&flow->directions[direction & 1].packets, packets);
	__sync_fetch_and_add(&flow->directions[direction & 1].bytes, bytes);
}

/* Moves a cache slot's counts to the flow table, where the flow is entered again if it was evicted meanwhile (F6). */
kudo_noinline int kudo_write_back(__u32 slot)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	int ipv6 = slot & 1;
	struct kudo_cached_flow *cached = &cpu->cache[kudo_index(slot, KUDO_CACHE_SLOTS - 1)];
	struct kudo_flow *flow = kudo_find_flow(&cached->key6, ipv6);

	__sync_fetch_and_add(&cached->seq, 1);
	if (!flow)
		flow = kudo_enter_flow(kudo_scratch_of(cpu), &cached->key6, ipv6, cached->judgement,
				       cached->last_seen);
	if (flow) {
		kudo_add_to_flow(flow, KUDO_INGRESS, cached->packets[KUDO_INGRESS], cached->bytes[KUDO_INGRESS]);
		kudo_add_to_flow(flow, KUDO_EGRESS, cached->packets[KUDO_EGRESS], cached->bytes[KUDO_EGRESS]);
		/* F7: a slot that this CPU has not used for long may be older than what another has written. */
		if (flow->last_seen < cached->last_seen)
			flow->last_seen = cached->last_seen;
	} else {
		cpu->counters.untracked_packets += (__u64)cached->packets[0] + cached->packets[1];
	}
	cached->packets[0] = cached->packets[1] = 0;
	cached->bytes[0] = cached->bytes[1] = 0;
	__sync_fetch_and_add(&cached->seq, 1);
	return 0;
}

kudo_inline int kudo_is_cached(const struct kudo_cached_flow *cached, const struct kudo_packet *packet)
{
	return packet->family == 4 ? kudo_words_equal(&cached->key4, &packet->key4, sizeof(packet->key4) / 4)
				   : kudo_words_equal(&cached->key6, &packet->key6, sizeof(packet->key6) / 4);
}

kudo_inline void kudo_count_cached(struct kudo_cached_flow *cached, __u64 now, const struct kudo_tally *tally)
{
	cached->last_seen = now;
	cached->packets[tally->direction & 1] += (__u32)tally->wire.packets;
	cached->bytes[tally->direction & 1] += tally->wire.bytes;
}

/* All that kudo_judge_flow() reads. */
kudo_inline void kudo_put_packet(struct kudo_packet *to, const struct kudo_packet *packet)
{
	if (packet->family == 4)
		to->key4 = packet->key4;
	else
		to->key6 = packet->key6;
	to->family = packet->family;
	to->non_first_fragment = packet->non_first_fragment;
}

/* And what inspecting the datagram takes. */
kudo_inline void kudo_put_datagram(struct kudo_packet *to, const struct kudo_packet *packet)
{
	kudo_put_packet(to, packet);
	to->l3_offset = packet->l3_offset;
	to->header_length = packet->header_length;
	to->l3_length = packet->l3_length;
	to->opens = packet->opens;
}

kudo_inline __u32 kudo_cache_slot(const struct kudo_packet *packet)
{
	return packet->family == 4 ? kudo_cache_slot4(&packet->key4) : kudo_cache_slot6(&packet->key6);
}

/* Which packet in kudo_scratch is meant. */
kudo_inline struct kudo_packet *kudo_scratch_packet(struct kudo_scratch *scratch, __u32 quoted)
{
	return quoted ? &scratch->quoted : &scratch->packet;
}

/* The judgement of an earlier generation by a name stays with its flow. 1: it does, in scratch.judged. */
kudo_inline int kudo_keep_name(struct kudo_scratch *scratch, const struct kudo_policy *policy,
			       const struct kudo_packet *packet, __u8 protocol, __u16 port)
{
	const struct kudo_flow *flow = kudo_find_flow(&packet->key6, packet->family == 6);

	if (!flow)
		return 0;
	union kudo_judgement_word before = {.word = *(volatile const __u64 *)&flow->judgement};
	struct kudo_candidate candidate = {before.judgement.service, before.judgement.prefix_length};

	if (!kudo_keeps_name(policy, before.judgement, protocol, port))
		return 0;
	scratch->judged.judgement = kudo_judgement_of(policy, KUDO_REASON_NAME, candidate, KUDO_CLASS_CONTROL);
	return 1;
}

/* One of the names in scratch.learned, for a packet in kudo_scratch. 1: it judges it, in scratch.judged. */
kudo_noinline int kudo_judge_by_one_name(__u32 generation, __u32 quoted, __u32 index)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_packet *packet = kudo_scratch_packet(scratch, quoted);
	__u8 protocol = kudo_protocol_of(packet);
	__u16 port = kudo_remote_port_of(packet);
	const struct kudo_learned_name *name = &scratch->learned.names[kudo_index(index, KUDO_LEARNED_NAMES - 1)];
	struct kudo_judgement judgement = kudo_judge_learned_name(&kudo_policies[generation & 1], name,
								  bpf_ktime_get_boot_ns(), protocol, port);

	if (judgement.reason != KUDO_REASON_NAME)
		return 0;
	scratch->judged.judgement = judgement;
	return 1;
}

/* Of a packet in kudo_scratch whose remote address is in no range, but was given by DNS. What made its flow one of KUDO's
 * judges it: scratch.judged. Else 1: the address's names are in scratch.learned. */
kudo_noinline int kudo_has_names(__u32 generation, __u32 quoted)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_packet *packet = kudo_scratch_packet(scratch, quoted);
	__u8 protocol = kudo_protocol_of(packet);
	__u16 port = kudo_remote_port_of(packet);

	if (packet->non_first_fragment ||
	    kudo_keep_name(scratch, &kudo_policies[generation & 1], packet, protocol, port))
		return 0;
	const struct kudo_learned *learned = kudo_learned_of(packet);
	if (!learned)
		return 0;
	scratch->learned = *learned;
	return 1;
}

/* Judges a packet in kudo_scratch by the ranges of this generation's policy: scratch.judged. */
kudo_noinline int kudo_judge_packet(__u32 generation, __u32 quoted)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_packet *packet = kudo_scratch_packet(scratch, quoted);
	__u8 protocol = kudo_protocol_of(packet);
	__u16 port = kudo_remote_port_of(packet);

	scratch->judged.judgement = kudo_judge(&kudo_policies[generation & 1], kudo_longest_match(packet, generation & 1),
					       protocol, port, packet->non_first_fragment);
	return 0;
}

/* By its range, else by its name. Inline, since the stacks of functions that call each other have 512 bytes together. */
kudo_inline void kudo_judge_scratch(struct kudo_scratch *scratch, __u32 generation, __u32 quoted)
{
	kudo_judge_packet(generation, quoted);
	if (scratch->judged.judgement.reason != KUDO_REASON_STRANGER ||
	    !kudo_is_learned_maybe(kudo_scratch_packet(scratch, quoted)) || !kudo_has_names(generation, quoted))
		return;
	for (__u32 i = 0; i < KUDO_LEARNED_NAMES; i++)
		if (scratch->learned.names[i].domain == 0 || kudo_judge_by_one_name(generation, quoted, i))
			break;
}

/* The current packet's flow is not in its slot, or was judged by an older generation there. */
kudo_noinline int kudo_judge_flow(__u32 generation)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_packet *packet = &scratch->packet;
	const struct kudo_tally *tally = &scratch->tally;
	int ipv6 = packet->family == 6;
	struct kudo_flow *flow = kudo_find_flow(&packet->key6, ipv6);
	union kudo_judgement_word judged = {.word = 0};

	if (flow)
		judged.word = *(volatile __u64 *)&flow->judgement;
	if (!flow || judged.judgement.generation != generation) {
		kudo_judge_scratch(scratch, generation, 0);
		judged = scratch->judged;
	}
	scratch->judged = judged;
	if (!tally->counting)
		return 0;

	__u32 slot = kudo_index(kudo_cache_slot(packet), KUDO_CACHE_SLOTS - 1);
	struct kudo_cached_flow *cached = &cpu->cache[slot];
	int is_cached = cached->judgement != 0 && kudo_is_cached(cached, packet);
	if (judged.judgement.reason == KUDO_REASON_STRANGER) {
		/* A flow of an older range map's is not counted as one any more. */
		if (is_cached) {
			kudo_write_back(slot);
			cached->judgement = 0;
		}
		return 0;
	}
	if (flow)
		*(volatile __u64 *)&flow->judgement = judged.word;
	else
		flow = kudo_enter_flow(scratch, &packet->key6, ipv6, judged.word, bpf_jiffies64());
	if (!flow) {
		cpu->counters.untracked_packets += tally->wire.packets;
		return 0;
	}

	__u64 now = bpf_jiffies64();
	if (!is_cached) {
		if (cached->judgement != 0 && now - cached->last_seen < KUDO_CACHE_IDLE_TICKS) {
			kudo_add_to_flow(flow, tally->direction, tally->wire.packets, tally->wire.bytes);
			flow->last_seen = now;
			return 0;
		}
		if (cached->judgement != 0)
			kudo_write_back(slot);
		__sync_fetch_and_add(&cached->seq, 1);
		if (ipv6)
			cached->key6 = packet->key6;
		else
			cached->key4 = packet->key4;
		cached->judgement = judged.word;
		cached->last_seen = now;
		__sync_fetch_and_add(&cached->seq, 1);
	}
	*(volatile __u64 *)&cached->judgement = judged.word;
	kudo_count_cached(cached, now, tally);
	return 0;
}

kudo_inline __u64 kudo_flow_judgement(struct kudo_cpu *cpu, const struct kudo_packet *packet,
				      const struct kudo_tally *tally, __u32 generation)
{
	__u32 slot = kudo_index(kudo_cache_slot(packet), KUDO_CACHE_SLOTS - 1);
	struct kudo_cached_flow *cached = &cpu->cache[slot];
	union kudo_judgement_word judged = {.word = cached->judgement};

	if (judged.judgement.generation != generation || !kudo_is_cached(cached, packet)) {
		struct kudo_scratch *scratch = kudo_scratch_of(cpu);

		/* Where another flow keeps the slot, the table's row is all there is to change. */
		if (judged.word != 0 && tally->counting) {
			__u64 now = bpf_jiffies64();
			struct kudo_flow *flow = 0;

			if (now - cached->last_seen < KUDO_CACHE_IDLE_TICKS)
				flow = kudo_find_flow(&packet->key6, packet->family == 6);
			if (flow) {
				judged.word = *(volatile __u64 *)&flow->judgement;
				if (judged.judgement.generation == generation) {
					kudo_add_to_flow(flow, tally->direction, tally->wire.packets,
							 tally->wire.bytes);
					flow->last_seen = now;
					return judged.word;
				}
			}
		}
		if (packet != &scratch->packet)
			kudo_put_packet(&scratch->packet, packet);
		scratch->tally = *tally;
		kudo_judge_flow(generation);
		return scratch->judged.word;
	}
	if (tally->counting) {
		__u64 now = bpf_jiffies64();

		if ((now ^ cached->last_seen) >> KUDO_CACHE_WRITE_BACK_SHIFT)
			kudo_write_back(slot);
		kudo_count_cached(cached, now, tally);
	}
	return judged.word;
}

/* A packet that kudo_parse() gave a reason for, or that the prefilter rejects. */
kudo_inline struct kudo_judgement kudo_handle_untracked(struct kudo_cpu *cpu, __u32 generation, __u32 reason,
							const struct kudo_tally *tally)
{
	union kudo_judgement_word judged = {.word = 0}; /* reason no_policy, verdict pass */

	if (generation != 0)
		judged.judgement = kudo_judge_unparsed(&kudo_policies[generation & 1], reason);
	if (tally->counting)
		kudo_count(&cpu->counters, judged.judgement, tally);
	return judged.judgement;
}

/* A packet of which the prefilter says that it may be KUDO's. */
kudo_inline struct kudo_judgement kudo_handle_tracked(struct kudo_cpu *cpu, __u32 generation,
						      const struct kudo_packet *packet, const struct kudo_tally *tally)
{
	union kudo_judgement_word judged = {.word = kudo_flow_judgement(cpu, packet, tally, generation)};

	if (tally->counting)
		kudo_count(&cpu->counters, judged.judgement, tally);
	return judged.judgement;
}

/* May the packet's remote address be one of KUDO's, by the prefilter or by a name? Two bits of each and one branch between
 * them: every packet of the host pays for it, and the verifier for each branch. */
kudo_inline int kudo_has_flow(__u32 generation, const struct kudo_packet *packet)
{
	const struct kudo_policy *policy = &kudo_policies[generation & 1];

	if (generation == 0)
		return 0;
	if (packet->family == 4) {
		__u32 high = kudo_swap32(packet->key4.remote);
		int learned = kudo_is_learned4_maybe(packet);

		if (!(kudo_bit_is_set(policy->prefilter4, kudo_prefilter4_bit(high)) | learned))
			return 0;
		return kudo_bit_is_set(policy->prefilter4_fine, kudo_prefilter4_fine_bit(high)) | learned;
	}
	int learned = kudo_is_learned6_maybe(packet);
	__be64 first;

	__builtin_memcpy(&first, packet->key6.remote, 8);
	first = kudo_swap64(first);
	if (!(kudo_bit_is_set(policy->prefilter6, kudo_prefilter6_bit((__u32)(first >> 32))) | learned))
		return 0;
	return kudo_bit_is_set(policy->prefilter6_fine, kudo_prefilter6_fine_bit(first)) | learned;
}

/* Judges a packet, parsed with this `reason`, and counts it. */
kudo_inline struct kudo_judgement kudo_handle(struct kudo_cpu *cpu, __u32 generation, const struct kudo_packet *packet,
					      __u32 reason, const struct kudo_tally *tally)
{
	if (reason)
		return kudo_handle_untracked(cpu, generation, reason, tally);
	if (!kudo_has_flow(generation, packet))
		return kudo_handle_untracked(cpu, generation, KUDO_REASON_STRANGER, tally);
	return kudo_handle_tracked(cpu, generation, packet, tally);
}

#endif /* KUDO_FLOW_BPF_H */
