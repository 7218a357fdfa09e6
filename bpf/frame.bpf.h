/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The frames that XDP sees: how long they are, and their headers wherever these lie.
 * Invariant: data to data_end is all of a frame only where the program is loaded without frags; its length is never taken
 * from there otherwise. */
#ifndef KUDO_FRAME_BPF_H
#define KUDO_FRAME_BPF_H

#include "flow.bpf.h"

/* 1: loaded with BPF_F_XDP_HAS_FRAGS (kernel >= 5.18): a frame may lie in several buffers, of which data to data_end is
 * the first. Some drivers leave that one empty. The helpers behind it do not exist before. */
const volatile __u32 kudo_xdp_frags = 0;

/* All that kudo_parse() can look at: link, IP and extension headers, and the longest TCP header behind them. */
#define KUDO_PULLED_BYTES (KUDO_MAX_EXTENSION_BYTES + 60)

/* A copy of the headers that are not in the first buffer. Longer than what is copied: the verifier knows of offsets only
 * that they are below KUDO_OFFSET_MASK, and what the parser adds to them. Each loaded object has its own; only it reads
 * that. */
struct kudo_headers {
	__u8 bytes[3 * (KUDO_OFFSET_MASK + 1)];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kudo_headers);
} kudo_headers_scratch SEC(".maps");

/* As much of a frame as its first buffer holds: all that the fast path needs to know. */
kudo_inline struct kudo_frame kudo_frame_of_xdp(const void *data, const void *end)
{
	struct kudo_frame frame = {
		.wire_length = (__u32)(end - data), .link = KUDO_LINK_ETHERNET, .direction = KUDO_INGRESS};
	return frame;
}

/* The second half of the parser, of the packet in kudo_scratch: enum kudo_reason or KUDO_PARSE_PULL. `length`: the
 * frame's, as far as the caller knows. */
kudo_noinline int kudo_parse_frame_network(struct xdp_md *context, __u32 ethertype, __u32 length)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	const void *data = (const void *)(long)context->data, *end = (const void *)(long)context->data_end;
	struct kudo_frame frame = kudo_frame_of_xdp(data, end);

	if (!cpu)
		return KUDO_REASON_NOT_IP;
	frame.wire_length = length;
	return (int)kudo_parse_network(data, end, &frame, (__u16)ethertype, &kudo_scratch_of(cpu)->packet);
}

/* Both halves. */
kudo_inline __u32 kudo_parse_frame(struct xdp_md *context, struct kudo_packet *packet, __u32 length)
{
	const void *data = (const void *)(long)context->data, *end = (const void *)(long)context->data_end;
	struct kudo_frame frame = kudo_frame_of_xdp(data, end);
	__u16 ethertype = 0;

	frame.wire_length = length;
	__u32 reason = kudo_parse_link(data, end, &frame, packet, &ethertype);

	return reason ? reason : (__u32)kudo_parse_frame_network(context, ethertype, length);
}

/* The same of a copy of the headers, of which `available` bytes are there. */
kudo_noinline int kudo_parse_copied_network(__u32 available, __u32 ethertype, __u32 length)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	__u32 zero = 0;
	const struct kudo_headers *headers = bpf_map_lookup_elem(&kudo_headers_scratch, &zero);
	const struct kudo_frame frame = {
		.wire_length = length, .link = KUDO_LINK_ETHERNET, .direction = KUDO_INGRESS};

	if (!kudo_xdp_frags || !cpu || !headers || available > KUDO_PULLED_BYTES)
		return KUDO_REASON_NOT_IP;
	return (int)kudo_parse_network(headers->bytes, headers->bytes + available, &frame, (__u16)ethertype,
				       &kudo_scratch_of(cpu)->packet);
}

/* Both halves where the headers go beyond the first buffer. */
kudo_noinline int kudo_parse_scattered(struct xdp_md *context, __u32 length)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	__u32 zero = 0, available = length < KUDO_PULLED_BYTES ? length : KUDO_PULLED_BYTES;
	struct kudo_headers *headers = bpf_map_lookup_elem(&kudo_headers_scratch, &zero);
	const struct kudo_frame frame = {
		.wire_length = length, .link = KUDO_LINK_ETHERNET, .direction = KUDO_INGRESS};
	__u16 ethertype = 0;

	if (!kudo_xdp_frags || !cpu || !headers || available < sizeof(struct kudo_ethernet_header))
		return KUDO_REASON_TRUNCATED_LINK;
	/* The same number, in a way that shows kernels before 6.8 its bounds: they lose those of a comparison. */
	__u32 size = available - 1;

	kudo_bound_offset(size);
	if (bpf_xdp_load_bytes(context, 0, headers->bytes, size + 1) != 0)
		return KUDO_REASON_TRUNCATED_LINK;
	__u32 reason = kudo_parse_link(headers->bytes, headers->bytes + available, &frame,
				       &kudo_scratch_of(cpu)->packet, &ethertype);

	return reason ? (int)reason : kudo_parse_copied_network(available, ethertype, length);
}

/* A frame that the first buffer does not hold, or no packet at all: the same, and what it is. `reason`: of that buffer. */
kudo_noinline int kudo_parse_long_frame(struct xdp_md *context, __u32 reason)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!kudo_xdp_frags || !cpu)
		return (int)reason;
	__u32 length = (__u32)bpf_xdp_get_buff_len(context);

	if (length == (__u32)(context->data_end - context->data))
		return (int)reason;
	reason = kudo_parse_frame(context, &kudo_scratch_of(cpu)->packet, length);
	return reason == KUDO_PARSE_PULL ? kudo_parse_scattered(context, length) : (int)reason;
}

/* Any frame: enum kudo_reason, and the packet in kudo_scratch. A packet that ends in the first buffer is what it would be
 * in the whole frame; only for others its length is asked for, which is a call. */
kudo_inline __u32 kudo_parse_any_frame(struct xdp_md *context, struct kudo_packet *packet)
{
	__u32 reason = kudo_parse_frame(context, packet, (__u32)(context->data_end - context->data));

	return kudo_xdp_frags && reason ? (__u32)kudo_parse_long_frame(context, reason) : reason;
}

#endif /* KUDO_FRAME_BPF_H */
