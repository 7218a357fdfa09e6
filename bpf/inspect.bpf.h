/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What is read of a packet behind its headers, once it is judged and counted: media streams (rtp.bpf.h), and of strangers what
 * strangers.bpf.h tells.
 * Invariant: nothing here decides over pass or drop, and no packet is changed. */
#ifndef KUDO_INSPECT_BPF_H
#define KUDO_INSPECT_BPF_H

#include "learn.bpf.h"
#include "rtp.bpf.h"
#include "strangers.bpf.h"

/* Is it worth a look at what the packet carries? */
kudo_inline int kudo_may_be_rtp(struct kudo_judgement judgement, const struct kudo_packet *packet)
{
	return kudo_verdict_of(judgement) != KUDO_DROP && kudo_class_of(judgement) == KUDO_CLASS_MEDIA &&
	       kudo_protocol_of(packet) == KUDO_PROTOCOL_UDP;
}

/* Looks into the datagram whose packet is in kudo_scratch. */
kudo_noinline int kudo_inspect_frame(struct xdp_md *context, __u32 may_be_rtp)
{
	if (may_be_rtp)
		return kudo_follow_frame(context);
	if (kudo_note_frame(context))
		kudo_learn_response(kudo_read_generation());
	return 0;
}

/* Does the packet carry what kudo_inspect_skb() reads? */
kudo_inline int kudo_is_inspected(struct kudo_judgement judgement, const struct kudo_packet *packet, __u32 direction)
{
	return kudo_is_watched(judgement, packet) || (direction == KUDO_EGRESS && kudo_is_unnamed(judgement, packet));
}

kudo_noinline int kudo_inspect_outgoing(struct __sk_buff *skb)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	struct kudo_judgement judgement = scratch->judged.judgement;

	if (kudo_is_watched(judgement, &scratch->packet))
		return kudo_note_outgoing(skb, judgement.generation);
	if (kudo_is_unnamed(judgement, &scratch->packet))
		return kudo_note_name(skb, cpu, judgement.generation);
	return 0;
}

kudo_noinline int kudo_inspect_incoming(struct __sk_buff *skb)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	struct kudo_judgement judgement = scratch->judged.judgement;

	if (kudo_is_watched(judgement, &scratch->packet) && kudo_note_incoming(skb))
		return kudo_learn_response(judgement.generation);
	return 0;
}

/* Inspects what the packet carries that is in kudo_scratch with its judgement. `direction` is known when this is compiled, so
 * that no program has the functions of the other one. */
kudo_inline void kudo_inspect_skb(struct __sk_buff *skb, __u32 direction)
{
	if (direction == KUDO_EGRESS)
		kudo_inspect_outgoing(skb);
	else
		kudo_inspect_incoming(skb);
}

#endif /* KUDO_INSPECT_BPF_H */
