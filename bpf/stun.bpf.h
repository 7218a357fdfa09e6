/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Strays: addresses outside of the range map that this host asks by STUN, and that answer. Each step is a function of
 * its own, for datagrams of strangers from or to UDP 3478 only. Included by kudo.bpf.c only.
 * Invariant: only a request of this host's enters an address; an answer is one only with the transaction of the last
 * request there, and counts once. Nothing here decides over pass or drop, and no packet is changed. */
#ifndef KUDO_STUN_BPF_H
#define KUDO_STUN_BPF_H

#include "flow.bpf.h"
#include "stun.h"

struct kudo_stun_window {
	__u32 words[KUDO_STUN_HEADER / 4];
} KUDO_WIRE(4);

/* Is this judged packet one to look into? */
kudo_inline int kudo_may_be_stray(struct kudo_judgement judgement, const struct kudo_packet *packet)
{
	if (judgement.reason != KUDO_REASON_STRANGER)
		return 0;
	if (packet->family == 4)
		return packet->key4.remote_port == KUDO_STUN_PORT && packet->key4.protocol == KUDO_PROTOCOL_UDP;
	return packet->key6.remote_port == KUDO_STUN_PORT && packet->key6.protocol == KUDO_PROTOCOL_UDP;
}

kudo_inline struct kudo_stray *kudo_find_stray(const struct kudo_packet *packet)
{
	if (packet->family == 4)
		return bpf_map_lookup_elem(&kudo_strays4, &packet->key4.remote);
	return bpf_map_lookup_elem(&kudo_strays6, packet->key6.remote);
}

kudo_inline struct kudo_stray *kudo_enter_stray(const struct kudo_packet *packet)
{
	struct kudo_stray *stray = kudo_find_stray(packet), fresh = {};

	if (stray)
		return stray;
	if (packet->family == 4)
		bpf_map_update_elem(&kudo_strays4, &packet->key4.remote, &fresh, BPF_NOEXIST);
	else
		bpf_map_update_elem(&kudo_strays6, packet->key6.remote, &fresh, BPF_NOEXIST);
	return kudo_find_stray(packet);
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
		stray = kudo_enter_stray(packet);
		if (!stray)
			return 0;
		__builtin_memcpy(stray->transaction, transaction, sizeof(transaction));
		stray->interface = packet->family == 4 ? packet->key4.interface : packet->key6.interface;
		stray->awaits = 1;
		__sync_fetch_and_add(&stray->requests, 1);
	} else if (direction == KUDO_INGRESS && kind == KUDO_STUN_RESPONSE) {
		stray = kudo_find_stray(packet);
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

/* Where the datagram in hand's payload begins and, of a super-packet's first datagram, how long it is; 0: it has none.
 */
kudo_inline __u32 kudo_stun_payload(const struct kudo_packet *packet, __u32 segment_size, __u32 *length)
{
	__u32 offset = packet->l3_offset + packet->header_length;
	__u32 end = packet->l3_offset + packet->l3_length;

	if (packet->header_length == 0 || offset + KUDO_STUN_HEADER > end)
		return 0;
	*length = end - offset;
	if (segment_size != 0 && *length > segment_size)
		*length = segment_size;
	return offset;
}

/* Looks into the datagram in hand, whose packet is in kudo_work. */
kudo_apart int kudo_note_frame(struct xdp_md *context)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	__u32 length = 0;

	if (!cpu)
		return 0;
	struct kudo_work *work = kudo_work_of(cpu);
	__u32 offset = kudo_stun_payload(&work->packet, 0, &length);
	if (offset == 0)
		return 0;
	kudo_forget_offset(offset);
	const struct kudo_stun_window *payload = (const void *)((const __u8 *)(long)context->data + offset);
	if ((const __u8 *)(payload + 1) > (const __u8 *)(long)context->data_end)
		return 0;
	*(struct kudo_stun_window *)work->payload = *payload;
	return kudo_note_stun(KUDO_INGRESS, length);
}

kudo_apart int kudo_note_skb(struct __sk_buff *skb, __u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	__u32 length = 0;

	if (!cpu)
		return 0;
	struct kudo_work *work = kudo_work_of(cpu);
	__u32 offset = kudo_stun_payload(&work->packet, skb->gso_size, &length);
	if (offset == 0 || bpf_skb_load_bytes(skb, offset, work->payload, KUDO_STUN_HEADER) != 0)
		return 0;
	return kudo_note_stun(direction, length);
}

#endif /* KUDO_STUN_BPF_H */
