/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Strays: addresses in no range of the map that this host sends STUN requests to, and that respond.
 * Invariant: only a request of this host's enters an address; a response is one only with the transaction of the last
 * request there, and counts once. Nothing here decides over pass or drop, and no packet is changed. */
#ifndef KUDO_STUN_BPF_H
#define KUDO_STUN_BPF_H

#include "flow.bpf.h"
#include "stun.h"

kudo_inline struct kudo_stray *kudo_find_stray(const struct kudo_packet *packet, int enter)
{
	struct kudo_stray none = {}, *fresh = enter ? &none : 0;

	if (packet->family == 4)
		return kudo_find_or_enter(&kudo_strays4, &packet->key4.remote, fresh);
	return kudo_find_or_enter(&kudo_strays6, packet->key6.remote, fresh);
}

/* The datagram in kudo_scratch: the packet and the beginning of its payload, which is `length` long. Two CPUs that
 * write one transaction at once may mix it: a response is missed then. */
kudo_noinline int kudo_note_stun(__u32 direction, __u32 length)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_packet *packet = &scratch->packet;
	__u32 kind = kudo_stun_kind_of(scratch->payload, length), transaction[3];
	struct kudo_stray *stray;

	__builtin_memcpy(transaction, scratch->payload + KUDO_STUN_TRANSACTION, sizeof(transaction));
	if (direction == KUDO_EGRESS && kind == KUDO_STUN_REQUEST) {
		stray = kudo_find_stray(packet, 1);
		if (!stray)
			return 0;
		__builtin_memcpy(stray->transaction, transaction, sizeof(transaction));
		stray->interface = packet->family == 4 ? packet->key4.interface : packet->key6.interface;
		stray->pending = 1;
		__sync_fetch_and_add(&stray->requests, 1);
	} else if (direction == KUDO_INGRESS && kind == KUDO_STUN_RESPONSE) {
		stray = kudo_find_stray(packet, 0);
		if (!stray || !stray->pending ||
		    ((stray->transaction[0] ^ transaction[0]) | (stray->transaction[1] ^ transaction[1]) |
		     (stray->transaction[2] ^ transaction[2])))
			return 0;
		__u64 now = bpf_jiffies64();

		stray->pending = 0;
		if (stray->first_response == 0)
			stray->first_response = now;
		stray->last_response = now;
		__sync_fetch_and_add(&stray->responses, 1);
	}
	return 0;
}

#endif /* KUDO_STUN_BPF_H */
