/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* STUN on KUDO's media flows as a probe: finds the flow's record and adds the message to it. Of the programs that see a packet
 * the one that counts it probes.
 * Invariant: only what this host sends enters a record, so nobody else can fill the table. Nothing here decides over pass or
 * drop, and no packet is changed. */
#ifndef KUDO_STUN_PROBE_BPF_H
#define KUDO_STUN_PROBE_BPF_H

#include "flow.bpf.h"
#include "stun_probe.h"

/* How a record begins: too large for the stack. */
const volatile struct kudo_stun_probe kudo_no_probe = {};

/* The current packet's flow's record; null: there is none, and none is to be entered. */
kudo_inline struct kudo_stun_probe *kudo_probe_of(const struct kudo_packet *packet, int enter)
{
	const void *fresh = enter ? (const void *)&kudo_no_probe : 0;

	if (packet->family == 4)
		return kudo_find_or_enter(&kudo_probes4, &packet->key4, fresh);
	return kudo_find_or_enter(&kudo_probes6, &packet->key6, fresh);
}

/* A packet of the flow in kudo_scratch came in. Not called for each, see kudo_note_quality(). */
kudo_noinline int kudo_note_inbound(void)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_stun_probe *probe = kudo_probe_of(&kudo_scratch_of(cpu)->packet, 0);

	if (probe)
		kudo_probe_inbound(probe, bpf_ktime_get_ns());
	return 0;
}

/* Of a response to this host: is its address in it? */
kudo_noinline int kudo_note_mapped(__u32 available)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_mapped_address mapped = {};

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);

	if (!kudo_read_mapped(scratch->payload, available, &mapped))
		return 0;
	struct kudo_stun_probe *probe = kudo_probe_of(&scratch->packet, 0);

	if (probe)
		kudo_probe_mapped(probe, &mapped, bpf_ktime_get_ns());
	return 0;
}

/* The message in kudo_scratch: the packet, and of its payload, which is `length` long, the first `available` bytes. */
kudo_noinline int kudo_note_probe(__u32 direction, __u32 available, __u32 length)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	__u32 kind = kudo_stun_kind_of(scratch->payload, length), id[3];

	if (kind != KUDO_STUN_REQUEST && kind != KUDO_STUN_RESPONSE)
		return 0;
	__u64 now = bpf_ktime_get_ns();
	struct kudo_stun_probe *probe;

	__builtin_memcpy(id, scratch->payload + KUDO_STUN_TRANSACTION, sizeof(id));
	if (direction == KUDO_EGRESS) {
		probe = kudo_probe_of(&scratch->packet, 1);
		if (!probe)
			return 0;
		if (kind == KUDO_STUN_REQUEST)
			kudo_probe_request(probe, id, now, &scratch->way);
		else
			probe->remote_responses++;
		return 0;
	}
	probe = kudo_probe_of(&scratch->packet, 0);
	if (!probe)
		return 0;
	kudo_probe_inbound(probe, now);
	if (kind == KUDO_STUN_REQUEST)
		probe->remote_requests++;
	else if (kudo_probe_response(probe, id, now, &scratch->way))
		kudo_note_mapped(available);
	return 0;
}

#endif /* KUDO_STUN_PROBE_BPF_H */
