/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What the benchmark runs beside the data path's own programs: empty ones to compare with, parts of ours, and ours
 * behind a step that makes another packet of it each time. Loaded by tests/bench only.
 * Invariant: a step before ours is in the program that it is compared with, too. */
#include "bpf/kudo.bpf.c"

#include <bpf/bpf_endian.h>

__u32 kudo_bench_next SEC(".data.bench") = 0;  /* index into kudo_bench_order, or a counter */
__u32 kudo_bench_count SEC(".data.bench") = 0; /* flows in the set */
__u32 kudo_bench_sink SEC(".data.bench") = 0;
__u32 kudo_bench_target SEC(".data.bench") = 0; /* ifindex that kudo_bench_redirect sends to */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << 20);
	__type(key, __u32);
	__type(value, __u32);
} kudo_bench_order SEC(".maps");

struct kudo_bench_frame {
	struct kudo_ethernet_header ethernet;
	struct kudo_ipv4_header ip;
	struct kudo_udp_header udp;
} __attribute__((packed));

/* Ingress: the local side tells the flows apart. */
kudo_inline void kudo_bench_make_flow(struct xdp_md *context)
{
	struct kudo_bench_frame *frame = (void *)(long)context->data;
	__u32 index = kudo_bench_next;

	if ((void *)(frame + 1) > (void *)(long)context->data_end)
		return;
	kudo_bench_next = index + 1 < kudo_bench_count ? index + 1 : 0;
	__u32 *flow = bpf_map_lookup_elem(&kudo_bench_order, &index);
	if (!flow)
		return;
	frame->udp.destination = (__be16)*flow;
	frame->ip.destination = bpf_htonl(0x0a4d0000 | *flow >> 16);
}

/* Addresses all over IPv4. */
kudo_inline void kudo_bench_make_stranger(struct xdp_md *context)
{
	struct kudo_bench_frame *frame = (void *)(long)context->data;

	if ((void *)(frame + 1) > (void *)(long)context->data_end)
		return;
	frame->ip.source = kudo_bench_next++ * 2654435769u;
}

SEC("xdp")
int kudo_bench_empty(struct xdp_md *context)
{
	(void)context;
	return XDP_PASS;
}

SEC("xdp")
int kudo_bench_empty_drop(struct xdp_md *context)
{
	(void)context;
	return XDP_DROP;
}

SEC("tc")
int kudo_bench_empty_tc(struct __sk_buff *skb)
{
	(void)skb;
	return KUDO_TC_NEXT;
}

SEC("xdp")
int kudo_bench_parse(struct xdp_md *context)
{
	const void *data = (const void *)(long)context->data, *end = (const void *)(long)context->data_end;
	const struct kudo_frame frame = kudo_frame_of_xdp(data, end);
	struct kudo_packet packet;

	if (!kudo_parse_fast(data, end, &frame, &packet))
		return XDP_DROP;
	/* All of the key, or the compiler leaves out what is not used. */
	kudo_bench_sink = packet.key4.remote ^ packet.key4.local ^ packet.key4.remote_port ^
			  (__u32)packet.key4.local_port << 16 ^ packet.key4.protocol ^ packet.l3_length;
	return XDP_PASS;
}

/* The slow path through the parser, which a plain packet does not take. */
SEC("xdp")
int kudo_bench_parse_slow(struct xdp_md *context)
{
	const void *data = (const void *)(long)context->data, *end = (const void *)(long)context->data_end;
	const struct kudo_frame frame = kudo_frame_of_xdp(data, end);
	struct kudo_cpu *cpu = kudo_this_cpu();
	__u16 ethertype = 0;

	if (!cpu)
		return XDP_PASS;
	if (!kudo_parse_link(data, end, &frame, &kudo_scratch_of(cpu)->packet, &ethertype))
		kudo_parse_frame_network(context, ethertype, frame.wire_length);
	return XDP_PASS;
}

/* The least that a known flow costs without the cache: the parser and one lookup in the table. */
kudo_inline int kudo_bench_look_up(struct xdp_md *context)
{
	const void *data = (const void *)(long)context->data, *end = (const void *)(long)context->data_end;
	const struct kudo_frame frame = kudo_frame_of_xdp(data, end);
	struct kudo_packet packet;

	if (!kudo_parse_fast(data, end, &frame, &packet))
		return XDP_DROP;
	kudo_set_interface(&packet, context->ingress_ifindex);
	if (packet.family != 4)
		return XDP_DROP;
	struct kudo_flow *flow = bpf_map_lookup_elem(&kudo_flows4, &packet.key4);
	return flow && flow->judgement ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int kudo_bench_lookup(struct xdp_md *context)
{
	return kudo_bench_look_up(context);
}

SEC("xdp")
int kudo_bench_flows_empty(struct xdp_md *context)
{
	kudo_bench_make_flow(context);
	return XDP_PASS;
}

SEC("xdp")
int kudo_bench_flows(struct xdp_md *context)
{
	kudo_bench_make_flow(context);
	return kudo_run_xdp(context);
}

/* The least that a table of flows costs: one lookup in it. */
SEC("xdp")
int kudo_bench_flows_lookup(struct xdp_md *context)
{
	kudo_bench_make_flow(context);
	return kudo_bench_look_up(context);
}

SEC("xdp")
int kudo_bench_strangers_empty(struct xdp_md *context)
{
	kudo_bench_make_stranger(context);
	return XDP_PASS;
}

SEC("xdp")
int kudo_bench_strangers(struct xdp_md *context)
{
	kudo_bench_make_stranger(context);
	return kudo_run_xdp(context);
}

struct kudo_bench_rtp {
	struct kudo_bench_frame headers;
	__u8 rtp[2];
	__be16 sequence;
	__be32 timestamp;
	__be32 ssrc;
} __attribute__((packed));

/* The next 20 ms of Opus, not marked yet. */
kudo_inline int kudo_bench_make_rtp(void *data, void *end)
{
	struct kudo_bench_rtp *frame = data;

	if ((void *)(frame + 1) > end)
		return 0;
	/* All that a marking writes, as a packet that was never marked: else its loads wait for the last one's stores, which
	 * no other packet's do. */
	__u32 *words = (__u32 *)((__u8 *)data + sizeof(struct kudo_ethernet_header));
	words[0] = bpf_htonl(0x45000000 | (sizeof(struct kudo_ipv4_header) + sizeof(struct kudo_udp_header) + 172));
	words[1] = 0;
	words[2] = bpf_htonl(64 << 24 | KUDO_PROTOCOL_UDP << 16);
	frame->sequence = bpf_htons(bpf_ntohs(frame->sequence) + 1);
	frame->timestamp = bpf_htonl(bpf_ntohl(frame->timestamp) + 960);
	return 1;
}

#define KUDO_BENCH_RTP(SECTION, NAME, CONTEXT, PASS, RUN)                                                              \
	SEC(SECTION)                                                                                                   \
	int kudo_bench_##NAME##_empty(struct CONTEXT *context)                                                         \
	{                                                                                                              \
		kudo_bench_make_rtp((void *)(long)context->data, (void *)(long)context->data_end);                     \
		return PASS;                                                                                           \
	}                                                                                                              \
	SEC(SECTION)                                                                                                   \
	int kudo_bench_##NAME(struct CONTEXT *context)                                                                 \
	{                                                                                                              \
		kudo_bench_make_rtp((void *)(long)context->data, (void *)(long)context->data_end);                     \
		return RUN(context);                                                                                   \
	}

SEC("tc")
int kudo_bench_drop_tc(struct __sk_buff *skb)
{
	(void)skb;
	return KUDO_TC_DROP;
}

KUDO_BENCH_RTP("tc", rtp_out, __sk_buff, KUDO_TC_NEXT, kudo_run_tc_egress)
KUDO_BENCH_RTP("tc", rtp_in, __sk_buff, KUDO_TC_NEXT, kudo_run_tc_ingress)
KUDO_BENCH_RTP("xdp", rtp_in_xdp, xdp_md, XDP_PASS, kudo_run_xdp)

SEC("xdp")
int kudo_bench_count_and_drop(struct xdp_md *context)
{
	kudo_run_xdp(context);
	return XDP_DROP;
}

SEC("xdp")
int kudo_bench_redirect(struct xdp_md *context)
{
	(void)context;
	return (int)bpf_redirect(kudo_bench_target, 0);
}
