/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The maps that hold the policy, and how a remote address is looked up in it: for every object that asks for it.
 * Invariant: names and sizes are those of the pins in agent/datapath/datapath.cpp; a change is a change of
 * KUDO_LAYOUT_VERSION. */
#ifndef KUDO_POLICY_BPF_H
#define KUDO_POLICY_BPF_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "parse.h"
#include "prefilter.h"

#define kudo_noinline __attribute__((noinline)) /* and not static: verified by itself, kernel >= 5.6 */

/* Whose copy this is: instance_id() of agent/system/instance.h. A map of its own, bound to each program (kernel >= 5.10),
 * so that it is found from any program that is attached. */
const volatile __u64 kudo_instance SEC(".rodata.instance") = 0;

/* The generations' two slots. Their states and invariants, G1 to G6: agent/datapath/generation.h.
 *
 * Which generation judges: written by the agent with one aligned store, read once per packet (G1). 0: none yet. */
__u32 kudo_active SEC(".data.active") = 0;

/* Generation g's policy is kudo_policies[g & 1]. Written by the agent while the other one is active and no program can
 * be reading this one (G2, G3). */
struct kudo_policy kudo_policies[2] SEC(".data.policies") = {};

/* Does the policy put packets to the rules at all? */
kudo_inline int kudo_asks_admission(__u32 generation)
{
	return kudo_policies[generation & 1].admission != KUDO_ADMISSION_NONE;
}

/* The tries, in the same two slots. Not maps in a map: a slot is refilled in place while no program reads it, which
 * saves every packet the outer lookup. */
#define KUDO_LPM_MAP(NAME, KEY, VALUE, SIZE)                                                                           \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);                                                                   \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                                                  \
		__uint(max_entries, SIZE);                                                                             \
		__type(key, struct KEY);                                                                               \
		__type(value, struct VALUE);                                                                           \
	} NAME SEC(".maps")

KUDO_LPM_MAP(kudo_lpm4_0, kudo_lpm4_key, kudo_match, KUDO_MAX_PREFIXES);
KUDO_LPM_MAP(kudo_lpm4_1, kudo_lpm4_key, kudo_match, KUDO_MAX_PREFIXES);
KUDO_LPM_MAP(kudo_lpm6_0, kudo_lpm6_key, kudo_match, KUDO_MAX_PREFIXES);
KUDO_LPM_MAP(kudo_lpm6_1, kudo_lpm6_key, kudo_match, KUDO_MAX_PREFIXES);

/* Hashes that programs enter into: when one is full, the least recently used entries are evicted. */
#define KUDO_LRU_MAP(NAME, KEY, VALUE, SIZE)                                                                           \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                                                   \
		__uint(max_entries, SIZE);                                                                             \
		__type(key, KEY);                                                                                      \
		__type(value, VALUE);                                                                                  \
	} NAME SEC(".maps")

/* The key's entry, made of `fresh` if there is none; null: the table gave no room, or there is none and no `fresh`. */
kudo_inline void *kudo_find_or_enter(void *map, const void *key, const void *fresh)
{
	void *entry = bpf_map_lookup_elem(map, key);

	if (entry || !fresh)
		return entry;
	bpf_map_update_elem(map, key, fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

kudo_inline __u32 kudo_read_generation(void)
{
	return *(volatile __u32 *)&kudo_active;
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

kudo_inline int kudo_prefilter_maybe(const struct kudo_policy *policy, const struct kudo_packet *packet)
{
	__be64 first;

	if (packet->family == 4)
		return kudo_prefilter4_maybe(policy, kudo_swap32(packet->key4.remote));
	__builtin_memcpy(&first, packet->key6.remote, 8);
	return kudo_prefilter6_maybe(policy, kudo_swap64(first));
}

#endif /* KUDO_POLICY_BPF_H */
