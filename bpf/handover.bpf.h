/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Ingress moves between XDP and tc while packets come in: for a while both programs are attached, and the one in front
 * tells the other in the packet's metadata which packets it has counted. Why, and what remains: agent/attach/attachment.cpp.
 * Invariant: a packet that reaches tc with this is counted, and is not counted again. */
#ifndef KUDO_HANDOVER_BPF_H
#define KUDO_HANDOVER_BPF_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "policy.bpf.h"

/* 1: the copy of kudo_xdp that tells so. */
const volatile __u32 kudo_hands_over = 0;

#define KUDO_COUNTED 0x4b55444fu /* "KUDO" */

/* Who has counted it and where: another instance on the interface, or a bridge above it, sees the same metadata and counts
 * for itself. */
struct kudo_counted {
	__u32 magic;
	__u32 interface; /* ifindex */
	__u64 instance;
};

/* Drivers without room for metadata refuse: such a packet is counted by both. */
kudo_inline void kudo_tell_counted(struct xdp_md *context)
{
	if (bpf_xdp_adjust_meta(context, -(int)sizeof(struct kudo_counted)) != 0)
		return;
	struct kudo_counted *counted = (void *)(long)context->data_meta;

	if ((const void *)(counted + 1) > (const void *)(long)context->data)
		return;
	counted->magic = KUDO_COUNTED;
	counted->interface = context->ingress_ifindex;
	counted->instance = kudo_instance;
}

kudo_inline int kudo_was_counted(const struct __sk_buff *skb)
{
	const struct kudo_counted *counted = (const void *)(long)skb->data_meta;

	return (const void *)(counted + 1) <= (const void *)(long)skb->data && counted->magic == KUDO_COUNTED &&
	       counted->interface == skb->ifindex && counted->instance == kudo_instance;
}

#endif /* KUDO_HANDOVER_BPF_H */
