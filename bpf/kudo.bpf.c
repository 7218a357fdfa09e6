/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The programs: thin adapters between a hook and kudo_handle(). kudo_xdp judges ingress; kudo_tc_egress judges and
 * marks egress; kudo_tc_ingress takes over from XDP where that cannot attach, or only sets the firewall mark beside it.
 * Loaded by agent/datapath.cpp once per link layer and role, with these constants set.
 * Invariant: of the programs on one interface and direction exactly one counts. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "flow.bpf.h"
#include "mark.h"

char kudo_license[] SEC("license") = "Dual MIT/GPL";

const volatile __u32 kudo_link = KUDO_LINK_ETHERNET; /* enum kudo_link_layer of the interfaces this copy serves */
/* 0 where another program on the same ingress counts: in tc beside native XDP, which then only sets the firewall mark;
 * in generic XDP, which stands behind GRO and cannot know how many packets a frame was: it counts only what it drops.
 */
const volatile __u32 kudo_ingress_counts = 1;

/* linux/pkt_cls.h; the same as TCX_NEXT and TCX_DROP of linux/bpf.h >= 6.6. Unspecified lets the next program decide.
 */
#define KUDO_TC_NEXT (-1)
#define KUDO_TC_DROP 2

/* All that kudo_parse() can look at: link, IP and extension headers, and the longest TCP header behind them. */
#define KUDO_PULLED_BYTES (KUDO_MAX_EXTENSION_BYTES + 60)

/* Parses the packet in hand: enum kudo_reason. */
kudo_apart int kudo_parse_xdp(struct xdp_md *context)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return KUDO_REASON_NOT_IP;
	const void *data = (const void *)(long)context->data, *end = (const void *)(long)context->data_end;
	const struct kudo_frame frame = {
		.wire_length = (__u32)(end - data), .link = KUDO_LINK_ETHERNET, .direction = KUDO_INGRESS};

	return (int)kudo_parse(data, end, &frame, &kudo_work_of(cpu)->packet);
}

SEC("xdp")
int kudo_xdp(struct xdp_md *context)
{
	__u32 reason = (__u32)kudo_parse_xdp(context);
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return XDP_PASS;
	struct kudo_work *work = kudo_work_of(cpu);
	kudo_set_interface(&work->packet, context->ingress_ifindex);
	work->seen.wire.packets = 1;
	work->seen.wire.bytes = work->packet.l3_length;
	work->seen.direction = KUDO_INGRESS;
	work->seen.counting = kudo_ingress_counts;

	if (kudo_verdict_of(kudo_handle(cpu, work, reason)) != KUDO_DROP)
		return XDP_PASS;
	if (!kudo_ingress_counts) {
		/* Nobody sees it after us; if GRO merged it, it counts as one packet. */
		work->seen.counting = 1;
		kudo_handle(cpu, work, reason);
	}
	return XDP_DROP;
}

/* The same of an skb: enum kudo_reason or KUDO_PARSE_PULL. */
kudo_apart int kudo_parse_skb(struct __sk_buff *skb, __u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return KUDO_REASON_NOT_IP;
	const struct kudo_frame frame = {.wire_length = skb->len,
					 .link = kudo_link,
					 .direction = direction,
					 .super_packet = skb->gso_size != 0,
					 .hidden_tags = skb->vlan_present != 0};

	return (int)kudo_parse((const void *)(long)skb->data, (const void *)(long)skb->data_end, &frame,
			       &kudo_work_of(cpu)->packet);
}

/* Judges and counts an skb. Null: never. */
kudo_inline struct kudo_work *kudo_handle_skb(struct __sk_buff *skb, __u32 direction, __u32 counting)
{
	__u32 reason = (__u32)kudo_parse_skb(skb, direction);

	if (reason == KUDO_PARSE_PULL) {
		bpf_skb_pull_data(skb, skb->len < KUDO_PULLED_BYTES ? skb->len : KUDO_PULLED_BYTES);
		reason = (__u32)kudo_parse_skb(skb, direction);
		if (reason == KUDO_PARSE_PULL) /* the kernel found no memory to make the headers linear */
			reason = KUDO_REASON_TRUNCATED_LINK;
	}
	struct kudo_cpu *cpu = kudo_this_cpu();
	if (!cpu)
		return 0;
	struct kudo_work *work = kudo_work_of(cpu);
	kudo_set_interface(&work->packet, skb->ifindex);
	work->seen.wire = kudo_on_the_wire(&work->packet, skb->gso_size, skb->gso_segs);
	work->seen.direction = direction;
	work->seen.counting = counting;
	kudo_handle(cpu, work, reason);
	return work;
}

SEC("tc")
int kudo_tc_ingress(struct __sk_buff *skb)
{
	struct kudo_work *work = kudo_handle_skb(skb, KUDO_INGRESS, kudo_ingress_counts);

	if (!work)
		return KUDO_TC_NEXT;
	struct kudo_judgement judgement = work->judged.judgement;
	if (kudo_verdict_of(judgement) == KUDO_DROP)
		return kudo_ingress_counts ? KUDO_TC_DROP : KUDO_TC_NEXT;
	if (kudo_verdict_of(judgement) == KUDO_PRIORITISED) {
		const struct kudo_policy *policy = &kudo_policies[judgement.generation & 1];
		__u32 mask = policy->firewall_mark_mask;
		if (mask)
			skb->mark = (skb->mark & ~mask) | (policy->firewall_mark & mask);
	}
	return KUDO_TC_NEXT;
}

/* Rewrites the DS field in the packet, checksum included, in one helper call. */
kudo_inline void kudo_set_dsfield(struct __sk_buff *skb, const struct kudo_packet *packet, __u8 dsfield)
{
	const __u8 *header = (const __u8 *)(long)skb->data + (packet->l3_offset & 0xff);

	if (packet->family == 4) {
		/* bytes 0 to 11 of the header: version to checksum */
		struct {
			__be16 version_and_dsfield;
			__be16 unchanged[4];
			__be16 checksum;
		} words;
		if (header + sizeof(words) > (const __u8 *)(long)skb->data_end)
			return;
		__builtin_memcpy(&words, header, sizeof(words));
		__be16 old_word = words.version_and_dsfield;
		((__u8 *)&words.version_and_dsfield)[1] = dsfield;
		words.checksum = kudo_updated_checksum(words.checksum, old_word, words.version_and_dsfield);
		bpf_skb_store_bytes(skb, packet->l3_offset, &words, sizeof(words), 0);
	} else {
		/* bytes 0 and 1: version (4 bits), traffic class (8), the flow label's first 4 bits */
		__u8 first[2];
		if (header + sizeof(first) > (const __u8 *)(long)skb->data_end)
			return;
		first[0] = (header[0] & 0xf0) | dsfield >> 4;
		first[1] = (__u8)(dsfield << 4) | (header[1] & 0x0f);
		bpf_skb_store_bytes(skb, packet->l3_offset, first, sizeof(first), BPF_F_RECOMPUTE_CSUM);
	}
}

SEC("tc")
int kudo_tc_egress(struct __sk_buff *skb)
{
	struct kudo_work *work = kudo_handle_skb(skb, KUDO_EGRESS, 1);

	if (!work)
		return KUDO_TC_NEXT;
	struct kudo_judgement judgement = work->judged.judgement;
	if (kudo_verdict_of(judgement) == KUDO_DROP)
		return KUDO_TC_DROP;
	if (kudo_verdict_of(judgement) == KUDO_PRIORITISED) {
		const struct kudo_policy *policy = &kudo_policies[judgement.generation & 1];
		struct kudo_mark mark = policy->marks[kudo_class_of(judgement) & (KUDO_CLASSES - 1)];
		__u8 dsfield = kudo_marked_dsfield(work->packet.dsfield, mark);

		skb->priority = kudo_marked_priority(skb->priority, mark);
		if (dsfield != work->packet.dsfield)
			kudo_set_dsfield(skb, &work->packet, dsfield);
	}
	return KUDO_TC_NEXT;
}

/* Run by the agent through BPF_PROG_TEST_RUN, attached nowhere: reads both clocks at one moment. */
struct kudo_clock_reading kudo_clock_reading SEC(".data.clock") = {};

SEC("xdp")
int kudo_clock(struct xdp_md *context)
{
	(void)context;
	kudo_clock_reading.jiffies = bpf_jiffies64();
	kudo_clock_reading.monotonic_ns = bpf_ktime_get_ns();
	return XDP_PASS;
}
