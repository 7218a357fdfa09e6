/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Strays: addresses outside of the range map that this host asks by STUN, and that answer. Included by strangers.bpf.h
 * only.
 * Invariant: only a request of this host's enters an address; an answer is one only with the transaction of the last
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

/* The datagram in hand, of kudo_work: the packet and the beginning of its payload, which is `length` long. Two CPUs
 * that write one transaction at once may mix it: an answer is missed then. */
kudo_apart int kudo_note_stun(__u32 direction, __u32 length)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_work *work = kudo_work_of(cpu);
	const struct kudo_packet *packet = &work->packet;
	__u32 kind = kudo_stun_kind_of(work->payload, length), transaction[3];
	struct kudo_stray *stray;

	__builtin_memcpy(transaction, work->payload + KUDO_STUN_TRANSACTION, sizeof(transaction));
	if (direction == KUDO_EGRESS && kind == KUDO_STUN_REQUEST) {
		stray = kudo_find_stray(packet, 1);
		if (!stray)
			return 0;
		__builtin_memcpy(stray->transaction, transaction, sizeof(transaction));
		stray->interface = packet->family == 4 ? packet->key4.interface : packet->key6.interface;
		stray->awaits = 1;
		__sync_fetch_and_add(&stray->requests, 1);
	} else if (direction == KUDO_INGRESS && kind == KUDO_STUN_RESPONSE) {
		stray = kudo_find_stray(packet, 0);
		if (!stray || !stray->awaits ||
		    ((stray->transaction[0] ^ transaction[0]) | (stray->transaction[1] ^ transaction[1]) |
		     (stray->transaction[2] ^ transaction[2])))
			return 0;
		__u64 now = bpf_jiffies64();

		stray->awaits = 0;
		if (stray->first_answer == 0)
			stray->first_answer = now;
		stray->last_answer = now;
		__sync_fetch_and_add(&stray->answers, 1);
	}
	return 0;
}

#endif /* KUDO_STUN_BPF_H */
