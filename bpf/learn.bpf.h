/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Learns the addresses of the policy's names from DNS responses, before the application gets them.
 * Invariants: only a response to a query that this host sent, from the server that it went to, for the name and type that
 * it was for, and not more than once, enters anything; every message that is looked at is counted under one outcome. */
#ifndef KUDO_LEARN_BPF_H
#define KUDO_LEARN_BPF_H

#include "dns.bpf.h"
#include "special.h"

kudo_inline struct kudo_response *kudo_current_response(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&kudo_response_scratch, &zero);
}

/* kudo_read_name_step() of the message in kudo_response_scratch. */
kudo_noinline int kudo_step_through_name(void)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_response *response = kudo_current_response();

	if (!cpu || !response)
		return 0;
	return kudo_read_name_step(response->message, &kudo_scratch_of(cpu)->walk, &kudo_scratch_of(cpu)->dns_name);
}

kudo_inline int kudo_next_step(const __u8 *bytes, struct kudo_dns_walk *walk, struct kudo_dns_name *name)
{
	(void)bytes, (void)walk, (void)name;
	return kudo_step_through_name();
}

kudo_noinline int kudo_read_response_name(__u32 begin)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	return kudo_read_name_by(kudo_next_step, 0, begin, &kudo_scratch_of(cpu)->walk, &kudo_scratch_of(cpu)->dns_name);
}

kudo_inline int kudo_read_next_name(const __u8 *bytes, __u32 begin, struct kudo_dns_walk *walk, struct kudo_dns_name *name)
{
	(void)bytes, (void)walk, (void)name;
	return kudo_read_response_name(begin);
}

/* 0: the question cannot be read. */
kudo_noinline int kudo_read_response_question(void)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_response *response = kudo_current_response();

	if (!cpu || !response)
		return 0;
	return kudo_read_question_by(kudo_read_next_name, response->message, response->length,
				     &kudo_scratch_of(cpu)->walk, &kudo_scratch_of(cpu)->dns_name);
}

/* enum kudo_dns_record */
kudo_noinline int kudo_read_response_record(void)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_response *response = kudo_current_response();

	if (!cpu || !response)
		return KUDO_RECORD_BAD;
	return kudo_read_record_by(kudo_read_next_name, response->message, &kudo_scratch_of(cpu)->walk,
				   &kudo_scratch_of(cpu)->dns_name);
}

/* Is the address that the walk has found one that no service can have? The packet's local address is this host's. */
kudo_inline __u32 kudo_is_found_special(const struct kudo_scratch *scratch)
{
	const struct kudo_packet *packet = &scratch->packet;

	if (scratch->walk.type == KUDO_DNS_TYPE_A)
		return kudo_is_special4(kudo_swap32(scratch->walk.found[0])) ||
		       (packet->family == 4 && scratch->walk.found[0] == packet->key4.local);
	return kudo_is_special6(scratch->walk.found) ||
	       (packet->family == 6 && kudo_words_equal(scratch->walk.found, packet->key6.local, 4));
}

/* Enters the address that the walk has found. 1: it is a name's. */
kudo_noinline int kudo_learn_address(void)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	struct kudo_dns_walk *walk = &scratch->walk;
	int v4 = walk->type == KUDO_DNS_TYPE_A;

	if (kudo_is_found_special(scratch)) {
		cpu->counters.dns[KUDO_ANSWER_SPECIAL]++;
		return 0;
	}
	__u32 byte = v4 ? kudo_learned_byte4(walk->found[0]) : kudo_learned_byte6(walk->found);
	__u64 now = bpf_ktime_get_boot_ns();

	kudo_set_learned_byte(byte);
	const struct kudo_learned *known =
		v4 ? bpf_map_lookup_elem(&kudo_learned4, walk->found) : bpf_map_lookup_elem(&kudo_learned6, walk->found);

	if (known)
		scratch->learned = *known;
	else
		__builtin_memset(&scratch->learned, 0, sizeof(scratch->learned));
	/* Another name that another CPU enters for the address at this moment may be lost until its next response. */
	kudo_add_learned(&scratch->learned, scratch->domain, walk->query, now, walk->found_ttl);
	long error = v4 ? bpf_map_update_elem(&kudo_learned4, walk->found, &scratch->learned, BPF_ANY)
			: bpf_map_update_elem(&kudo_learned6, walk->found, &scratch->learned, BPF_ANY);

	if (error)
		return 0;
	if (!known)
		cpu->counters.dns[KUDO_ANSWER_ENTERED]++;
	return 1;
}

/* Whose response is it? `is_read`: its question could be. Takes the query away, so that there is one response to each. enum kudo_dns_outcome, or KUDO_ANSWER_END:
 * it is one, and scratch.domain is what it is for; or KUDO_ANSWER_END + 1: it has nothing to do with the policy's names. */
#define KUDO_ANSWER_NOT_OURS (KUDO_ANSWER_END + 1)
kudo_noinline int kudo_take_query(__u32 generation, __u32 is_read)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_response *response = kudo_current_response();

	if (!cpu || !response)
		return KUDO_ANSWER_NOT_OURS;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_policy *policy = &kudo_policies[generation & 1];
	struct kudo_query_key key = kudo_query_key_of(&scratch->packet, kudo_load16(scratch->payload));
	const struct kudo_query *query = bpf_map_lookup_elem(&kudo_queries, &key);

	if (!query) {
		if (!is_read || !kudo_domain_maybe(policy, kudo_name_ending(&scratch->dns_name)))
			return KUDO_ANSWER_NOT_OURS;
		__builtin_memcpy(scratch->payload, response->message, KUDO_DNS_WINDOW); /* where a query's name would be */
		return kudo_domain_of_scratch(scratch, generation) ? KUDO_ANSWER_UNSOLICITED : KUDO_ANSWER_NOT_OURS;
	}
	if (!is_read)
		return (int)scratch->walk.failed;
	if (query->hash != scratch->walk.query)
		return KUDO_ANSWER_WRONG_NAME;
	__u64 age = bpf_ktime_get_ns() - query->sent;

	scratch->domain = query->domain;
	response->interface = query->interface;
	__builtin_memcpy(response->server, key.server, sizeof(response->server));
	response->family = key.family;
	if (bpf_map_delete_elem(&kudo_queries, &key) != 0)
		return KUDO_ANSWER_UNSOLICITED; /* another CPU has a copy of it */
	return age > KUDO_QUERY_LIFETIME ? KUDO_ANSWER_LATE : KUDO_ANSWER_END;
}

/* The response to a query, in kudo_response_scratch: enum kudo_dns_outcome. */
kudo_inline int kudo_learn_answers(struct kudo_cpu *cpu, struct kudo_response *response)
{
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	struct kudo_dns_walk *walk = &scratch->walk;

	if (!kudo_has_dns_answers(scratch->payload))
		return KUDO_ANSWER_NO_ADDRESS;
	response->received = bpf_jiffies64();
	bpf_map_update_elem(&kudo_responses, &walk->query, response, BPF_ANY);
	if (scratch->domain == 0)
		return KUDO_ANSWER_NO_ADDRESS;
	for (__u32 i = 0; i < KUDO_DNS_MAX_RECORDS; i++) {
		if (i >= walk->left)
			break;
		int record = kudo_read_response_record();

		if (record == KUDO_RECORD_BAD)
			return (int)walk->failed;
		if (record == KUDO_RECORD_UNRELATED)
			cpu->counters.dns[KUDO_ANSWER_UNRELATED]++;
		if (record == KUDO_RECORD_ADDRESS)
			walk->addresses += (__u32)kudo_learn_address();
	}
	if (walk->left > KUDO_DNS_MAX_RECORDS)
		return KUDO_ANSWER_LONG_CHAIN;
	return walk->addresses ? KUDO_ANSWER_LEARNED : KUDO_ANSWER_NO_ADDRESS;
}

/* Looks at the message in kudo_response_scratch, whose packet and header are in kudo_scratch. */
kudo_noinline int kudo_learn_response(__u32 generation)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_response *response = kudo_current_response();

	if (!cpu || !response)
		return 0;
	/* Not from within: the stacks of functions that call each other have 512 bytes together. */
	int outcome = kudo_take_query(generation, (__u32)kudo_read_response_question());

	if (outcome == KUDO_ANSWER_NOT_OURS)
		return 0;
	if (outcome == KUDO_ANSWER_END)
		outcome = kudo_learn_answers(cpu, response);
	cpu->counters.dns[kudo_index((__u32)outcome, KUDO_MAX_DNS_OUTCOMES - 1)]++;
	return 0;
}

#endif /* KUDO_LEARN_BPF_H */
