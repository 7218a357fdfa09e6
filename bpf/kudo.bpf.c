/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The programs: thin adapters between a hook and kudo_handle(). kudo_xdp judges ingress; kudo_tc_egress judges and
 * marks egress; kudo_tc_ingress takes over from XDP where that cannot attach, or only sets the firewall mark beside it.
 * Loaded by agent/datapath once per link layer and role, with these constants set.
 * Invariant: of the programs on one interface and direction exactly one counts. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "admission.bpf.h"
#include "drops.h"
#include "flow.bpf.h"
#include "frame.bpf.h"
#include "handover.bpf.h"
#include "inspect.bpf.h"
#include "mark.h"
#include "outgoing.bpf.h"

char kudo_license[] SEC("license") = "Dual MIT/GPL";

const volatile __u32 kudo_link = KUDO_LINK_ETHERNET; /* enum kudo_link_layer of the interfaces this copy serves */
/* 0 where another program on the same ingress counts: in tc beside native XDP, which then only sets the firewall mark;
 * in generic XDP, which runs after GRO and cannot know how many packets a frame was: it counts only what it drops.
 */
const volatile __u32 kudo_ingress_counts = 1;

/* linux/pkt_cls.h; the same as TCX_NEXT and TCX_DROP of linux/bpf.h >= 6.6. Unspecified lets the next program decide.
 */
#define KUDO_TC_NEXT (-1)
#define KUDO_TC_DROP 2

/* Answers the agent's question whether this program runs. Read-mostly: no CPU takes the line from another. */
kudo_inline void kudo_answer_run(__u32 interface, __u32 direction)
{
	__u32 element = (interface & (KUDO_INTERFACES - 1)) * KUDO_DIRECTIONS + direction;
	struct kudo_run *run = bpf_map_lookup_elem(&kudo_runs, &element);

	if (run && run->answered != run->asked)
		run->answered = run->asked;
}

kudo_inline void kudo_judge_frame(struct xdp_md *context, __u32 generation, __u32 reason, const struct kudo_tally *tally)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	__u32 admission = kudo_admission_of(&kudo_policies[generation & 1]);

	if (!cpu)
		return;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	if (admission != KUDO_ADMISSION_NONE) {
		scratch->tally = *tally;
		kudo_gather_frame(context);
		kudo_admit(scratch, tally->direction, generation, reason);
		reason = (__u32)kudo_settle_admission(reason, admission);
	}
	scratch->judged.judgement = kudo_handle(cpu, generation, &scratch->packet, reason, tally);
}

/* Judges and counts any frame: the packet and its judgement are in kudo_scratch then. */
kudo_noinline int kudo_handle_any_frame(struct xdp_md *context)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	__u32 reason = kudo_parse_any_frame(context, &scratch->packet);
	struct kudo_tally tally = {
		.wire = {1, scratch->packet.l3_length}, .direction = KUDO_INGRESS, .counting = kudo_ingress_counts};

	kudo_set_interface(&scratch->packet, context->ingress_ifindex);
	__u32 generation = kudo_read_generation();
	kudo_judge_frame(context, generation, reason, &tally);
	union kudo_judgement_word judged = scratch->judged;
	if (!kudo_ingress_counts && kudo_is_dropped(judged.judgement)) {
		/* Nobody sees it after us; if GRO merged it, it counts as one packet. */
		tally.counting = 1;
		kudo_judge_frame(context, generation, reason, &tally);
		scratch->judged = judged;
	}
	int may_be_rtp = kudo_may_be_rtp(judged.judgement, &scratch->packet);

	if (kudo_ingress_counts && (may_be_rtp || kudo_is_watched(judged.judgement, &scratch->packet)))
		kudo_inspect_frame(context, (__u32)may_be_rtp);
	return 0;
}

kudo_inline int kudo_xdp_action(struct kudo_judgement judgement)
{
	return kudo_is_dropped(judgement) ? XDP_DROP : XDP_PASS;
}

kudo_inline int kudo_run_xdp(struct xdp_md *context)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	const void *data = (const void *)(long)context->data, *end = (const void *)(long)context->data_end;
	const struct kudo_frame frame = kudo_frame_of_xdp(data, end);
	struct kudo_packet packet;
	__u32 remote_port;

	if (!cpu)
		return XDP_PASS;
	if (kudo_ingress_counts && kudo_parse_fast_head(data, end, &frame, &packet, &remote_port)) {
		const struct kudo_tally tally = {
			.wire = {1, packet.l3_length}, .direction = KUDO_INGRESS, .counting = 1};
		__u32 generation = kudo_read_generation();
		int has_flow = kudo_has_flow(generation, &packet), is_slow = 0;

		if (kudo_asks_admission(generation)) {
			kudo_parse_fast_key(data, end, &frame, &packet);
			kudo_set_interface(&packet, context->ingress_ifindex);
			enum kudo_at_once at_once = kudo_admit_at_once(
				cpu, generation, has_flow, &packet,
				(const __u8 *)data + sizeof(struct kudo_ethernet_header), end, &tally, 0);

			if (at_once == KUDO_AT_ONCE_DROP)
				return XDP_DROP;
			if (at_once == KUDO_AT_ONCE_PASS)
				return XDP_PASS;
			is_slow = at_once == KUDO_AT_ONCE_UNKNOWN;
		}
		if (is_slow) {
			/* below */
		} else if (has_flow) {
			kudo_parse_fast_key(data, end, &frame, &packet);
			kudo_set_interface(&packet, context->ingress_ifindex);
			struct kudo_judgement judgement = kudo_handle_tracked(cpu, generation, &packet, &tally);
			int may_be_rtp = kudo_may_be_rtp(judgement, &packet);

			if (may_be_rtp && kudo_treat_plain(kudo_scratch_of(cpu), data, end, &frame, &packet, 1) !=
						  KUDO_TREATMENTS)
				return kudo_xdp_action(judgement);
			if (may_be_rtp || kudo_is_watched(judgement, &packet)) {
				kudo_put_datagram(&kudo_scratch_of(cpu)->packet, &packet);
				kudo_inspect_frame(context, (__u32)may_be_rtp);
			}
			return kudo_xdp_action(judgement);
		} else if (!kudo_is_watched_in(remote_port))
			return kudo_xdp_action(kudo_handle_untracked(cpu, generation, KUDO_REASON_STRANGER, &tally));
	}
	kudo_handle_any_frame(context);
	return kudo_xdp_action(kudo_scratch_of(cpu)->judged.judgement);
}

SEC("xdp")
int kudo_xdp(struct xdp_md *context)
{
	if (kudo_ingress_counts)
		kudo_answer_run(context->ingress_ifindex, KUDO_INGRESS);
	int action = kudo_run_xdp(context);

	if (kudo_hands_over && action == XDP_PASS)
		kudo_tell_counted(context);
	return action;
}

kudo_inline struct kudo_frame kudo_frame_of(const struct __sk_buff *skb, __u32 direction)
{
	struct kudo_frame frame = {.wire_length = skb->len,
				   .link = kudo_link,
				   .direction = direction,
				   .is_gso = skb->gso_size != 0,
				   .vlan_accel = skb->vlan_present != 0};
	return frame;
}

kudo_noinline int kudo_parse_skb_network(struct __sk_buff *skb, __u32 direction, __u32 ethertype)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	const struct kudo_frame frame = kudo_frame_of(skb, direction);

	if (!cpu)
		return KUDO_REASON_NOT_IP;
	return (int)kudo_parse_network((const void *)(long)skb->data, (const void *)(long)skb->data_end, &frame,
				       (__u16)ethertype, &kudo_scratch_of(cpu)->packet);
}

/* Enum kudo_reason or KUDO_PARSE_PULL. */
kudo_noinline int kudo_parse_any_skb(struct __sk_buff *skb, __u32 direction)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	const struct kudo_frame frame = kudo_frame_of(skb, direction);

	if (!cpu)
		return KUDO_REASON_NOT_IP;
	__u16 ethertype = 0;
	__u32 reason = kudo_parse_link((const void *)(long)skb->data, (const void *)(long)skb->data_end, &frame,
				       &kudo_scratch_of(cpu)->packet, &ethertype);

	return reason ? (int)reason : kudo_parse_skb_network(skb, direction, ethertype);
}

/* Judges and counts any skb: the packet and its judgement are in kudo_scratch then. */
kudo_noinline int kudo_handle_any_skb(struct __sk_buff *skb, __u32 direction, __u32 counting)
{
	__u32 reason = (__u32)kudo_parse_any_skb(skb, direction);

	if (reason == KUDO_PARSE_PULL) {
		bpf_skb_pull_data(skb, skb->len < KUDO_PULLED_BYTES ? skb->len : KUDO_PULLED_BYTES);
		reason = (__u32)kudo_parse_any_skb(skb, direction);
		if (reason == KUDO_PARSE_PULL) /* the kernel found no memory to make the headers linear */
			reason = KUDO_REASON_TRUNCATED_LINK;
	}
	struct kudo_cpu *cpu = kudo_this_cpu();
	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_tally tally = {.wire = kudo_on_the_wire(&scratch->packet, skb->gso_size, skb->gso_segs),
				       .direction = direction,
				       .counting = counting};
	kudo_set_interface(&scratch->packet, skb->ifindex);
	__u32 generation = kudo_read_generation();
	__u32 admission = counting ? kudo_admission_of(&kudo_policies[generation & 1]) : KUDO_ADMISSION_NONE;

	if (admission != KUDO_ADMISSION_NONE) {
		scratch->tally = tally;
		kudo_gather_skb(skb);
		kudo_admit(scratch, direction, generation, reason);
		reason = (__u32)kudo_settle_admission(reason, admission);
	}
	scratch->judged.judgement = kudo_handle(cpu, generation, &scratch->packet, reason, &tally);
	return 0;
}

/* What tc does with a packet: the judgement, and of the packet what marking it needs. */
struct kudo_outcome {
	struct kudo_judgement judgement;
	__u32 l3_offset;
	__u8 family, dsfield;
	__u8 treatment; /* enum kudo_treatment, if the verdict is to prioritise */
	__u8 is_answer; /* the firewall mark may be set: see outgoing.bpf.h */
	__u8 at_once;   /* KUDO_AT_ONCE_DROP or _PASS: that is all; else 0 */
};

kudo_inline struct kudo_outcome kudo_outcome_of(struct kudo_judgement judgement, const struct kudo_packet *packet)
{
	struct kudo_outcome outcome = {.judgement = judgement,
				       .l3_offset = packet->l3_offset,
				       .family = packet->family,
				       .dsfield = packet->dsfield,
				       .treatment = kudo_class_of(judgement) & (KUDO_TREATMENTS - 1)};
	return outcome;
}

/* How the queue of the packet's interface wants to see its priority; null: nothing is known of it. */
kudo_inline const struct kudo_interface *kudo_interface_of(const struct __sk_buff *skb)
{
	__u32 index = skb->ifindex, element = index & (KUDO_INTERFACES - 1);
	const struct kudo_interface *interface = bpf_map_lookup_elem(&kudo_interfaces, &element);

	return interface && interface->index == index ? interface : 0;
}

/* Does the packet's flow matter to the firewall mark? Only by a range: who may send a DNS query or a ClientHello can make any
 * address a name's. */
kudo_inline int kudo_follows_outgoing(struct kudo_judgement judgement)
{
	return kudo_verdict_of(judgement) == KUDO_PRIORITISED && judgement.reason == KUDO_REASON_RULE &&
	       kudo_policies[judgement.generation & 1].firewall_mark_mask != 0;
}

/* The number, of which the verifier knows nothing then: it goes on with one path instead of one for each value. */
kudo_inline __u64 kudo_forgotten(__u64 number)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	*(volatile __u64 *)&kudo_scratch_of(cpu)->forgotten = number;
	return *(volatile __u64 *)&kudo_scratch_of(cpu)->forgotten;
}

/* `treats`: look into media datagrams. `was_counted`: by XDP; such packets are few and take the slow path. */
kudo_inline struct kudo_outcome kudo_handle_skb(struct __sk_buff *skb, __u32 direction, __u32 counting, int treats,
						int was_counted)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	const struct kudo_frame frame = kudo_frame_of(skb, direction);
	struct kudo_outcome outcome = {};
	struct kudo_packet packet;
	__u32 remote_port;

	if (!cpu)
		return outcome;
	const void *data = (const void *)(long)skb->data, *end = (const void *)(long)skb->data_end;
	if (!was_counted && kudo_parse_fast_head(data, end, &frame, &packet, &remote_port)) {
		const struct kudo_tally tally = {.wire = kudo_on_the_wire(&packet, skb->gso_size, skb->gso_segs),
					       .direction = direction,
					       .counting = counting};
		__u32 generation = kudo_read_generation();
		int has_flow = kudo_has_flow(generation, &packet), is_slow = 0;

		if (counting && kudo_asks_admission(generation)) {
			kudo_parse_fast_key(data, end, &frame, &packet);
			kudo_set_interface(&packet, skb->ifindex);
			enum kudo_at_once at_once = kudo_admit_at_once(
				cpu, generation, has_flow, &packet, (const __u8 *)data + kudo_fast_offset(&frame), end, &tally,
				frame.is_gso);

			if (at_once == KUDO_AT_ONCE_DROP || at_once == KUDO_AT_ONCE_PASS) {
				outcome.at_once = (__u8)at_once;
				return outcome;
			}
			is_slow = at_once == KUDO_AT_ONCE_UNKNOWN;
		}
		if (is_slow) {
			/* below */
		} else if (has_flow) {
			kudo_parse_fast_key(data, end, &frame, &packet);
			kudo_set_interface(&packet, skb->ifindex);
			outcome = kudo_outcome_of(kudo_handle_tracked(cpu, generation, &packet, &tally), &packet);
			if (kudo_follows_outgoing(outcome.judgement)) {
				kudo_put_datagram(&kudo_scratch_of(cpu)->packet, &packet);
				outcome.is_answer = (__u8)kudo_follow_outgoing(skb, direction);
			}
			if (treats && kudo_may_be_rtp(outcome.judgement, &packet)) {
				__u32 treatment = kudo_treat_plain(kudo_scratch_of(cpu), data, end, &frame, &packet,
								   counting);

				if (treatment == KUDO_TREATMENTS) {
					kudo_put_datagram(&kudo_scratch_of(cpu)->packet, &packet);
					treatment = kudo_treat_datagrams(skb, direction, counting);
				}
				outcome.treatment = (__u8)treatment & (KUDO_TREATMENTS - 1);
			} else if (counting && kudo_is_inspected(outcome.judgement, &packet, direction)) {
				struct kudo_scratch *scratch = kudo_scratch_of(cpu);

				packet.opens = (__u8)(remote_port >> 17 & 1); /* KUDO_FAST_SYN */
				kudo_put_datagram(&scratch->packet, &packet);
				scratch->judged.judgement = outcome.judgement;
				kudo_inspect_skb(skb, direction);
			}
			return outcome;
		} else if (!counting || !(direction == KUDO_EGRESS ? kudo_is_watched_out(skb, remote_port, generation, &packet)
								   : kudo_is_watched_in(remote_port))) {
			outcome.judgement = kudo_handle_untracked(cpu, generation, KUDO_REASON_STRANGER, &tally);
			return outcome;
		}
	}
	kudo_handle_any_skb(skb, direction, counting && !was_counted);
	const struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	outcome = kudo_outcome_of(scratch->judged.judgement, &scratch->packet);
	if (counting && !was_counted)
		kudo_inspect_skb(skb, direction);
	if (kudo_follows_outgoing(outcome.judgement))
		outcome.is_answer = (__u8)kudo_follow_outgoing(skb, direction);
	if (treats && kudo_may_be_rtp(outcome.judgement, &scratch->packet))
		outcome.treatment = (__u8)kudo_treat_datagrams(skb, direction, counting && !was_counted) &
				    (KUDO_TREATMENTS - 1);
	return outcome;
}

/* What traces dropped packets knows ours by that: they are counted here already. */
kudo_inline int kudo_drop_skb(struct __sk_buff *skb)
{
	skb->mark = KUDO_DROP_MARK;
	return KUDO_TC_DROP;
}

kudo_inline int kudo_run_tc_ingress(struct __sk_buff *skb)
{
	int was_counted = kudo_ingress_counts && kudo_link == KUDO_LINK_ETHERNET && kudo_was_counted(skb);
	int treats = kudo_ingress_counts;

	if (kudo_ingress_counts) {
		kudo_answer_run(skb->ifindex, KUDO_INGRESS);
	} else {
		const struct kudo_interface *interface = kudo_interface_of(skb);
		treats = interface && interface->tracks_ingress;
	}
	struct kudo_outcome outcome = kudo_handle_skb(skb, KUDO_INGRESS, kudo_ingress_counts, treats, was_counted);
	if (outcome.at_once)
		return outcome.at_once == KUDO_AT_ONCE_DROP ? kudo_drop_skb(skb) : KUDO_TC_NEXT;
	struct kudo_judgement judgement = outcome.judgement;

	if (kudo_is_dropped(judgement))
		return kudo_ingress_counts && !was_counted ? kudo_drop_skb(skb) : KUDO_TC_NEXT;
	if (kudo_verdict_of(judgement) == KUDO_PRIORITISED) {
		const struct kudo_policy *policy = &kudo_policies[judgement.generation & 1];
		const struct kudo_interface *interface = kudo_interface_of(skb);
		__u32 mask = policy->firewall_mark_mask, treatment = kudo_index(outcome.treatment, KUDO_TREATMENTS - 1);

		if (mask && outcome.is_answer)
			skb->mark = (skb->mark & ~mask) | (policy->firewall_mark & mask);
		if (interface && interface->tracks_ingress)
			skb->priority = kudo_marked_priority(skb->priority, policy->marks[treatment],
							     interface->ingress[treatment]);
	}
	return KUDO_TC_NEXT;
}

SEC("tc")
int kudo_tc_ingress(struct __sk_buff *skb)
{
	return kudo_run_tc_ingress(skb);
}

/* Rewrites the DS field in the packet, checksum included, in one helper call. */
kudo_inline void kudo_set_dsfield(struct __sk_buff *skb, const struct kudo_outcome *packet, __u8 dsfield)
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

/* Marks a prioritised packet. */
kudo_inline void kudo_mark_skb(struct __sk_buff *skb, struct kudo_outcome all)
{
	__u64 what = kudo_forgotten((__u64)all.judgement.generation << 32 | (__u64)all.l3_offset << 20 |
				    (__u32)all.treatment << 12 | (__u32)all.family << 8 | all.dsfield);
	const struct kudo_outcome outcome = {
		.l3_offset = (__u32)(what >> 20) & 0xfff, .family = (what >> 8) & 15, .dsfield = (__u8)what};
	__u32 treatment = kudo_index((__u32)what >> 12, KUDO_TREATMENTS - 1);
	struct kudo_mark mark = kudo_policies[what >> 32 & 1].marks[treatment];
	const struct kudo_interface *interface = kudo_interface_of(skb);
	__u32 queues = interface ? interface->egress[treatment] : 0;
	__u8 dsfield = kudo_marked_dsfield(outcome.dsfield, mark);

	skb->priority = kudo_marked_priority(skb->priority, mark, queues);
	if (kudo_is_user_priority(queues) && (mark.flags & KUDO_MARK_PRIORITY))
		skb->tc_index = (__u16)(KUDO_TC_INDEX + treatment);
	if (dsfield != outcome.dsfield && skb->mark != KUDO_PROBE_MARK)
		kudo_set_dsfield(skb, &outcome, dsfield);
}

kudo_inline int kudo_run_tc_egress(struct __sk_buff *skb)
{
	kudo_answer_run(skb->ifindex, KUDO_EGRESS);
	struct kudo_outcome outcome = kudo_handle_skb(skb, KUDO_EGRESS, 1, 1, 0);
	if (outcome.at_once)
		return outcome.at_once == KUDO_AT_ONCE_DROP ? kudo_drop_skb(skb) : KUDO_TC_NEXT;
	struct kudo_judgement judgement = outcome.judgement;

	if (kudo_is_dropped(judgement))
		return kudo_drop_skb(skb);
	if (kudo_verdict_of(judgement) == KUDO_PRIORITISED)
		kudo_mark_skb(skb, outcome);
	return KUDO_TC_NEXT;
}

SEC("tc")
int kudo_tc_egress(struct __sk_buff *skb)
{
	return kudo_run_tc_egress(skb);
}

/* Run by the agent through BPF_PROG_TEST_RUN, attached nowhere: what jiffies64 is at this moment. */
__u64 kudo_now SEC(".data.clock") = 0;

SEC("xdp")
int kudo_clock(struct xdp_md *context)
{
	(void)context;
	kudo_now = bpf_jiffies64();
	return XDP_PASS;
}
