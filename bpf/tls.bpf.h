/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* TLS names: what DNS does not show is told by the ClientHello that this host sends. A connection of a stranger's that names
 * one of the policy's domains becomes a flow of the domain's service, from its ClientHello on.
 * Invariants: only that connection, and only by the first bytes of one that this host has opened; never while packets are
 * put to the rules of admission, since the process that sends it writes the name itself; no packet is changed or held
 * back. */
#ifndef KUDO_TLS_BPF_H
#define KUDO_TLS_BPF_H

#include "dns.bpf.h"
#include "outgoing.bpf.h"
#include "special.h"
#include "tls.h"

kudo_inline struct kudo_hello_scratch *kudo_hello_of_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&kudo_hello_scratches, &zero);
}

/* May a connection's first byte be outstanding? */
kudo_inline int kudo_awaits_hello(void)
{
	return bpf_jiffies64() - *(volatile __u64 *)&kudo_last_opening < KUDO_OPENING_LIFETIME_TICKS;
}

/* And the rest of a ClientHello? */
kudo_inline int kudo_awaits_rest(void)
{
	return bpf_jiffies64() - *(volatile __u64 *)&kudo_last_hello < KUDO_HELLO_LIFETIME_TICKS;
}

/* The word in kudo_openings of the connection that the packet in kudo_scratch belongs to, whose first byte has that number;
 * and its place. */
kudo_inline __u64 kudo_opening_of(const struct kudo_packet *packet, __u32 sequence, volatile __u64 **place)
{
	__u64 hash = kudo_mixed(packet->family == 4 ? kudo_flow_hash4(&packet->key4) : kudo_flow_hash6(&packet->key6));

	*place = &kudo_openings[kudo_index((__u32)(hash >> 52), KUDO_OPENINGS - 1)];
	return (hash << 16 & 0xffffffff00000000ull) | sequence;
}

kudo_noinline int kudo_note_opening(__u32 sequence)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	volatile __u64 *place;

	if (!cpu)
		return 0;
	__u64 opening = kudo_opening_of(&kudo_scratch_of(cpu)->packet, sequence, &place);

	*place = opening;
	*(volatile __u64 *)&kudo_last_opening = bpf_jiffies64();
	return 0;
}

/* Is that the number of the connection's first byte? */
kudo_noinline int kudo_is_first_byte(__u32 sequence)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	volatile __u64 *place;

	if (!cpu)
		return 0;
	__u64 opening = kudo_opening_of(&kudo_scratch_of(cpu)->packet, sequence, &place);

	return *place == opening;
}

/* May an outgoing packet of that protocol to that port show how a connection begins? Most packets have another port. Without
 * a branch for each port, which a verifier would follow. */
kudo_inline int kudo_is_named_port(__u32 is_tcp, __u32 port)
{
	__u32 tcp = 0 - (is_tcp != 0);
	__u32 named = kudo_equal(port, KUDO_HTTPS_PORT) | kudo_equal(port, KUDO_DOT_PORT) |
		      ((kudo_equal(port, 8445) | kudo_equal(port, 9444)) & tcp);

	kudo_opaque(named);
	return (int)named;
}

/* Is it worth a look? `offset`: of what is behind the TCP or UDP header, `end`: of the packet, both from the frame's beginning;
 * `port`: the remote one, with KUDO_FAST_TCP and KUDO_FAST_SYN. Of TCP most is not where no connection was opened lately. */
kudo_noinline int kudo_may_show_name(struct __sk_buff *skb, __u32 offset, __u32 end, __u32 port, __u32 generation)
{
	__u8 first[2] = {};

	if (kudo_asks_admission(generation))
		return 0;
	if (port & KUDO_FAST_SYN)
		return 1;
	if ((port & KUDO_FAST_TCP) && ((__u16)port == KUDO_DOT_PORT || !kudo_awaits_hello()))
		return 0;
	if (offset + sizeof(first) > end)
		return 0;
	const __u8 *data = (const __u8 *)(long)skb->data;
	__u32 begin = offset;

	kudo_bound_offset(begin);
	if (data + begin + sizeof(first) <= (const __u8 *)(long)skb->data_end)
		__builtin_memcpy(first, data + begin, sizeof(first));
	else if (bpf_skb_load_bytes(skb, offset, first, sizeof(first)) != 0)
		return 0;
	if (!(port & KUDO_FAST_TCP))
		return (first[0] & 0xc0) == 0xc0; /* a long header: RFC 9000 section 17.2 */
	return (first[0] == 22 && first[1] == 3) || kudo_awaits_rest();
}

/* Where the flow's ClientHello waits; null: none does. */
kudo_inline const struct kudo_hello *kudo_waiting_hello(const struct kudo_packet *packet)
{
	if (packet->family == 4)
		return bpf_map_lookup_elem(&kudo_hellos4, &packet->key4);
	return bpf_map_lookup_elem(&kudo_hellos6, &packet->key6);
}

/* What is copied at once. */
struct kudo_hello_part {
	__u64 words[16];
};

/* Puts what the flow has sent of its ClientHello before, if a packet goes on from there, into the scratch. 0: it does not. */
kudo_noinline int kudo_take_hello(__u32 sequence)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_hello_scratch *scratch = kudo_hello_of_scratch();

	if (!cpu || !scratch)
		return 0;
	const struct kudo_hello *waiting = kudo_waiting_hello(&kudo_scratch_of(cpu)->packet);

	scratch->hello.length = 0;
	if (!waiting || waiting->next != sequence)
		return 0;
	const struct kudo_hello_part *from = (const struct kudo_hello_part *)waiting->bytes;
	struct kudo_hello_part *to = (struct kudo_hello_part *)scratch->hello.bytes;
	__u32 length = waiting->length;

	for (__u32 i = 0; i < KUDO_HELLO_BYTES / sizeof(*to); i++) {
		if (i * sizeof(*to) >= length)
			break;
		to[i] = from[i];
	}
	/* Another CPU may have given the element to another flow meanwhile. */
	if (*(volatile const __u32 *)&waiting->next != sequence)
		return 0;
	scratch->hello.length = length;
	return 1;
}

/* Adds `size` bytes, which is not 0, of the packet at `offset` to the scratch. 1: they begin a ClientHello, or go on with one. */
kudo_noinline int kudo_gather_hello(struct __sk_buff *skb, __u32 offset, __u32 size)
{
	struct kudo_hello_scratch *scratch = kudo_hello_of_scratch();

	if (!scratch)
		return 0;
	__u32 have = kudo_index(scratch->hello.length, KUDO_HELLO_BYTES - 1);

	if (size > KUDO_HELLO_BYTES - have)
		size = KUDO_HELLO_BYTES - have;
	size = kudo_index(size - 1, KUDO_HELLO_BYTES - 1) + 1; /* changes nothing: for verifiers, 1 to KUDO_HELLO_BYTES */
	if (bpf_skb_load_bytes(skb, offset, scratch->hello.bytes + have, size) != 0)
		return 0;
	scratch->hello.length = have + size;
	return have + size >= KUDO_HELLO_LEAST && kudo_begins_hello(scratch->hello.bytes);
}

/* kudo_read_extension() of the scratch. */
kudo_noinline int kudo_step_through_hello(void)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_hello_scratch *scratch = kudo_hello_of_scratch();

	if (!cpu || !scratch)
		return KUDO_HELLO_BAD;
	return kudo_read_extension(scratch->hello.bytes, scratch->hello.length, &kudo_scratch_of(cpu)->hello);
}

kudo_noinline int kudo_begin_hello(void)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_hello_scratch *scratch = kudo_hello_of_scratch();

	if (!cpu || !scratch)
		return KUDO_HELLO_BAD;
	return kudo_read_hello(scratch->hello.bytes, scratch->hello.length, &kudo_scratch_of(cpu)->hello);
}

/* Writes the name in the scratch as a query's question to kudo_scratch.payload: how long that is. */
kudo_noinline int kudo_put_hello_question(void)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_hello_scratch *scratch = kudo_hello_of_scratch();

	if (!cpu || !scratch)
		return 0;
	__u32 length = kudo_put_question(scratch->hello.bytes, &kudo_scratch_of(cpu)->hello, scratch->room);

	__builtin_memcpy(kudo_scratch_of(cpu)->payload, scratch->room, KUDO_DNS_WINDOW);
	return (int)length;
}

/* Of that question: 1 if the name is under one of the policy's domains, one of whose services has the packet's port; then
 * the judgement is in scratch.judged. */
kudo_noinline int kudo_judge_hello(__u32 available, __u32 generation)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_dns_query query = {};

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);

	if (!kudo_read_dns_name_by(kudo_add_label, scratch->payload, available, &scratch->dns_name, &query) ||
	    !kudo_domain_maybe(&kudo_policies[generation & 1], query.ending))
		return 0;
	scratch->learned.names[0].domain = kudo_domain_of_scratch(scratch, generation);
	scratch->learned.names[0].until = ~0ull;
	return kudo_judge_by_one_name(generation, 0, 0);
}

/* As of DNS: a server behind this gateway, say, that somebody else names. */
kudo_noinline int kudo_is_remote_special(void)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	__be32 words[4];

	if (!cpu)
		return 1;
	const struct kudo_packet *packet = &kudo_scratch_of(cpu)->packet;

	if (packet->family == 4)
		return (int)kudo_is_special4(kudo_swap32(packet->key4.remote));
	__builtin_memcpy(words, packet->key6.remote, 16);
	return (int)kudo_is_special6(words);
}

/* Makes the packet's flow one of that judgement's. 0: it stays a stranger's. */
kudo_noinline int kudo_name_flow(void)
{
	struct kudo_cpu *cpu = kudo_this_cpu();

	if (!cpu)
		return 0;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	const struct kudo_packet *packet = &scratch->packet;
	int ipv6 = packet->family == 6;
	__be32 words[4];
	__u32 byte;

	if (kudo_is_remote_special())
		return 0;
	if (ipv6) {
		__builtin_memcpy(words, packet->key6.remote, 16);
		byte = kudo_learned_byte6(words);
	} else {
		byte = kudo_learned_byte4(packet->key4.remote);
	}
	scratch->judged.judgement.prefix_length = KUDO_BY_TLS_NAME;
	struct kudo_flow *flow = kudo_find_flow(&packet->key6, ipv6);
	if (!flow)
		flow = kudo_enter_flow(scratch, &packet->key6, ipv6, scratch->judged.word, bpf_jiffies64());
	if (!flow)
		return 0;
	*(volatile __u64 *)&flow->judgement = scratch->judged.word;
	kudo_set_learned_byte(byte);
	return 1;
}

kudo_inline int kudo_is_public_resolver(const struct kudo_packet *packet)
{
	__be32 words[4];

	if (packet->family == 4)
		return kudo_is_public_resolver4(kudo_swap32(packet->key4.remote));
	__builtin_memcpy(words, packet->key6.remote, 16);
	return kudo_is_public_resolver6(words);
}

/* What the ClientHello in the scratch, whose walk has come to `state`, is. enum kudo_tls_outcome; KUDO_TLS_END: its rest is
 * to be waited for. */
kudo_inline int kudo_hello_outcome(const struct kudo_scratch *scratch, __u32 length, int state)
{
	if (kudo_is_public_resolver(&scratch->packet))
		return KUDO_TLS_DOH;
	if (state == KUDO_HELLO_SHORT && length < KUDO_HELLO_BYTES)
		return KUDO_TLS_END;
	if (state != KUDO_HELLO_ENDS)
		return KUDO_TLS_UNREADABLE;
	if (scratch->hello.has_ech)
		return KUDO_TLS_ECH;
	return scratch->hello.length ? KUDO_TLS_OTHER : KUDO_TLS_NO_NAME;
}

/* Keeps the ClientHello in the scratch until the flow's next packet. */
kudo_noinline int kudo_keep_hello(void)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_hello_scratch *scratch = kudo_hello_of_scratch();

	if (!cpu || !scratch)
		return 0;
	const struct kudo_packet *packet = &kudo_scratch_of(cpu)->packet;

	if (packet->family == 4)
		bpf_map_update_elem(&kudo_hellos4, &packet->key4, &scratch->hello, BPF_ANY);
	else
		bpf_map_update_elem(&kudo_hellos6, &packet->key6, &scratch->hello, BPF_ANY);
	*(volatile __u64 *)&kudo_last_hello = bpf_jiffies64();
	return 0;
}

kudo_inline void kudo_forget_hello(const struct kudo_packet *packet)
{
	if (packet->family == 4)
		bpf_map_delete_elem(&kudo_hellos4, &packet->key4);
	else
		bpf_map_delete_elem(&kudo_hellos6, &packet->key6);
}

/* Reads the ClientHello in the scratch. enum kudo_tls_outcome; KUDO_TLS_END: its rest is waited for. */
kudo_noinline int kudo_read_gathered_hello(__u32 generation)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_hello_scratch *gathered = kudo_hello_of_scratch();

	if (!cpu || !gathered)
		return KUDO_TLS_END;
	struct kudo_scratch *scratch = kudo_scratch_of(cpu);
	int state = kudo_begin_hello();

	for (__u32 i = 0; i < KUDO_HELLO_EXTENSIONS; i++) {
		if (state != KUDO_HELLO_GOES_ON)
			break;
		state = kudo_step_through_hello();
	}
	int outcome = KUDO_TLS_NAMED;

	if (!scratch->hello.length || !kudo_judge_hello((__u32)kudo_put_hello_question(), generation) || !kudo_name_flow())
		outcome = kudo_hello_outcome(scratch, gathered->hello.length, state);
	if (outcome == KUDO_TLS_END)
		kudo_keep_hello();
	else
		kudo_forget_hello(&scratch->packet);
	return outcome;
}

/* Puts what the TCP packet in kudo_scratch adds to its flow's ClientHello into the scratch. 0: it is none. */
kudo_noinline int kudo_gather_packet(struct __sk_buff *skb)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_hello_scratch *gathered = kudo_hello_of_scratch();
	struct kudo_tcp_header tcp;

	if (!cpu || !gathered)
		return 0;
	const struct kudo_packet *packet = &kudo_scratch_of(cpu)->packet;
	__u32 offset = packet->l3_offset + packet->header_length, end = packet->l3_offset + packet->l3_length;

	if (!kudo_load_tcp(skb, packet, &tcp))
		return 0;
	__u32 sequence = kudo_swap32(tcp.sequence);

	if (kudo_opens(&tcp))
		kudo_note_opening(++sequence);
	if (offset >= end)
		return 0;
	gathered->hello.length = 0;
	if (!kudo_is_first_byte(sequence) && !(kudo_awaits_rest() && kudo_take_hello(sequence)))
		return 0;
	gathered->hello.next = sequence + (end - offset);
	return kudo_gather_hello(skb, offset, end - offset);
}

/* A datagram to port 443, or any packet to port 853. */
kudo_noinline int kudo_note_hidden_name(struct __sk_buff *skb)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_tcp_header tcp;
	__u8 bytes[8];

	if (!cpu)
		return KUDO_TLS_END;
	const struct kudo_packet *packet = &kudo_scratch_of(cpu)->packet;
	__u8 protocol = kudo_protocol_of(packet);
	__u16 port = kudo_remote_port_of(packet);
	__u32 offset = packet->l3_offset + packet->header_length, end = packet->l3_offset + packet->l3_length;

	if (protocol == KUDO_PROTOCOL_TCP)
		return kudo_load_tcp(skb, packet, &tcp) && kudo_opens(&tcp) ? KUDO_TLS_DOT : KUDO_TLS_END;
	if (offset + sizeof(bytes) > end ||
	    bpf_skb_load_bytes(skb, offset, bytes, sizeof(bytes)) != 0 || !kudo_begins_quic(bytes, end - offset))
		return KUDO_TLS_END;
	if (port == KUDO_DOT_PORT)
		return KUDO_TLS_DOT;
	return kudo_is_public_resolver(packet) ? KUDO_TLS_DOH : KUDO_TLS_QUIC;
}

/* Looks at the outgoing packet in kudo_scratch, which kudo_is_named_port() has told. Inline: the stacks of functions that
 * call each other have 512 bytes together. */
kudo_inline int kudo_note_name(struct __sk_buff *skb, struct kudo_cpu *cpu, __u32 generation)
{
	const struct kudo_packet *packet = &kudo_scratch_of(cpu)->packet;
	__u32 is_tcp = kudo_protocol_of(packet) == KUDO_PROTOCOL_TCP;
	__u32 port = kudo_remote_port_of(packet);
	int outcome;

	if (packet->non_first_fragment || packet->header_length == 0 || kudo_asks_admission(generation) ||
	    (is_tcp && !packet->opens && (packet->header_length >= packet->l3_length || !kudo_awaits_hello())))
		return 0;
	if (!is_tcp || port == KUDO_DOT_PORT)
		outcome = kudo_note_hidden_name(skb);
	else
		outcome = kudo_gather_packet(skb) ? kudo_read_gathered_hello(generation) : KUDO_TLS_END;
	if (outcome != KUDO_TLS_END)
		cpu->counters.tls[kudo_index((__u32)outcome, KUDO_MAX_TLS_OUTCOMES - 1)]++;
	return 0;
}

#endif /* KUDO_TLS_BPF_H */
