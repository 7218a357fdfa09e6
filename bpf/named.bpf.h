/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What names have made KUDO's: the addresses that DNS has given for them, and the flow table, whose rows keep what a name has
 * decided. For every object that asks for it.
 * Invariant: names and sizes are those of the pins in agent/datapath/datapath.cpp; a change is a change of
 * KUDO_LAYOUT_VERSION. */
#ifndef KUDO_NAMED_BPF_H
#define KUDO_NAMED_BPF_H

#include "flow_cache.h"
#include "learned.h"
#include "policy.bpf.h"

/* Flows of KUDO's addresses; strangers never get in. The agent sets the sizes before it loads. */
KUDO_LRU_MAP(kudo_flows4, struct kudo_flow4_key, struct kudo_flow, 131072);
KUDO_LRU_MAP(kudo_flows6, struct kudo_flow6_key, struct kudo_flow, 32768);

/* Addresses that DNS has given for the policy's names, and the filter in front of them. */
KUDO_LRU_MAP(kudo_learned4, __be32, struct kudo_learned, KUDO_LEARNED4);
struct kudo_learned6_key {
	__u8 address[16];
};
KUDO_LRU_MAP(kudo_learned6, struct kudo_learned6_key, struct kudo_learned, KUDO_LEARNED6);
__u8 kudo_learned_filter[KUDO_LEARNED_FILTER] SEC(".data.learned_filter") = {};

union kudo_judgement_word {
	struct kudo_judgement judgement;
	__u64 word;
};

/* `key`: struct kudo_flow4_key or kudo_flow6_key. */
kudo_inline struct kudo_flow *kudo_find_flow(const void *key, int ipv6)
{
	if (ipv6)
		return bpf_map_lookup_elem(&kudo_flows6, key);
	return bpf_map_lookup_elem(&kudo_flows4, key);
}

kudo_inline int kudo_is_learned_byte_set(__u32 byte)
{
	return ((volatile __u8 *)kudo_learned_filter)[kudo_index(byte, KUDO_LEARNED_FILTER - 1)];
}

/* 0: no name has ever made the packet's remote address KUDO's. */
kudo_inline int kudo_is_learned4_maybe(const struct kudo_packet *packet)
{
	return kudo_is_learned_byte_set(kudo_learned_byte4(packet->key4.remote));
}
kudo_inline int kudo_is_learned6_maybe(const struct kudo_packet *packet)
{
	__be32 words[4];

	__builtin_memcpy(words, packet->key6.remote, 16);
	return kudo_is_learned_byte_set(kudo_learned_byte6(words));
}
kudo_inline void kudo_set_learned_byte(__u32 byte)
{
	((volatile __u8 *)kudo_learned_filter)[kudo_index(byte, KUDO_LEARNED_FILTER - 1)] = 1;
}
kudo_inline int kudo_is_learned_maybe(const struct kudo_packet *packet)
{
	return packet->family == 4 ? kudo_is_learned4_maybe(packet) : kudo_is_learned6_maybe(packet);
}

kudo_inline const struct kudo_learned *kudo_learned_of(const struct kudo_packet *packet)
{
	if (packet->family == 4)
		return bpf_map_lookup_elem(&kudo_learned4, &packet->key4.remote);
	return bpf_map_lookup_elem(&kudo_learned6, packet->key6.remote);
}

#endif /* KUDO_NAMED_BPF_H */
