/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What this host asks name servers about the policy's names, and what they answer. Included by strangers.bpf.h only.
 * Invariant: a question about any other name leaves no trace; an answer is one only if it comes from the server that
 * was asked, to the port that asked, with the question's identifier, and each question is answered once. Nothing here
 * decides over pass or drop, and no packet is changed. */
#ifndef KUDO_DNS_BPF_H
#define KUDO_DNS_BPF_H

#include "dns.h"
#include "flow.bpf.h"

kudo_inline struct kudo_question_key kudo_question_key_of(const struct kudo_packet *packet, __u16 id)
{
	struct kudo_question_key key = {.family = packet->family, .id = id};

	if (packet->family == 4) {
		__builtin_memcpy(key.server, &packet->key4.remote, 4);
		key.local_port = packet->key4.local_port;
	} else {
		__builtin_memcpy(key.server, packet->key6.remote, 16);
		key.local_port = packet->key6.local_port;
	}
	return key;
}

/* The datagram on its way out, of kudo_work, of whose payload `seen` bytes are there. */
kudo_apart int kudo_note_question(__u32 seen, __u32 generation)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	struct kudo_dns_question asked = {};

	if (!cpu)
		return 0;
	struct kudo_work *work = kudo_work_of(cpu);

	if (!kudo_read_dns_question(work->payload, seen, &asked) ||
	    !kudo_may_name(&kudo_policies[generation & 1], asked.ending))
		return 0;
	const struct kudo_packet *packet = &work->packet;
	struct kudo_question_key key = kudo_question_key_of(packet, asked.id);
	struct kudo_question question = {
		.hash = asked.hash,
		.asked = bpf_ktime_get_ns(),
		.interface = packet->family == 4 ? packet->key4.interface : packet->key6.interface,
	};

	bpf_map_update_elem(&kudo_questions, &key, &question, BPF_ANY);
	*(volatile __u64 *)&kudo_asked = bpf_jiffies64();
	return 0;
}

/* 0: no question is open, so no datagram can be an answer. */
kudo_inline int kudo_awaits_answer(void)
{
	return bpf_jiffies64() - *(volatile __u64 *)&kudo_asked < KUDO_QUESTION_TICKS;
}

/* The datagram on its way in, of kudo_work, with its header: is it the answer to a question of ours? Then that question
 * is over, and where to put the message is returned. */
kudo_inline struct kudo_answer *kudo_begin_answer(const struct kudo_work *work, __u32 length, __u64 *hash)
{
	__u32 zero = 0;

	if (length > KUDO_ANSWER_BYTES || !kudo_is_dns_answer(work->payload))
		return 0;
	struct kudo_question_key key = kudo_question_key_of(&work->packet, kudo_load16(work->payload));
	struct kudo_question *question = bpf_map_lookup_elem(&kudo_questions, &key);
	struct kudo_answer *answer = bpf_map_lookup_elem(&kudo_answer_work, &zero);

	if (!question || !answer || bpf_ktime_get_ns() - question->asked > KUDO_QUESTION_LIFE)
		return 0;
	*hash = question->hash;
	answer->interface = question->interface;
	answer->received = bpf_jiffies64();
	bpf_map_delete_elem(&kudo_questions, &key);
	return answer;
}

/* `offset`: of the payload, which is `length` long and whose header is in kudo_work. */
kudo_apart int kudo_keep_frames_answer(struct xdp_md *context, __u32 offset, __u32 length)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	__u64 hash = 0;

	if (!cpu)
		return 0;
	struct kudo_answer *answer = kudo_begin_answer(kudo_work_of(cpu), length, &hash);
	if (!answer)
		return 0;
	kudo_forget_offset(offset);
	const __u8 *byte = (const __u8 *)(long)context->data + offset, *end = (const __u8 *)(long)context->data_end;

	/* Kernels before 5.18 have no helper for this. */
	for (__u32 i = 0; i < KUDO_ANSWER_BYTES; i++, byte++) {
		if (i >= length || byte + 1 > end)
			break;
		answer->message[i] = *byte;
	}
	answer->length = length;
	bpf_map_update_elem(&kudo_answers, &hash, answer, BPF_ANY);
	return 0;
}

kudo_apart int kudo_keep_skbs_answer(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	struct kudo_cpu *cpu = kudo_this_cpu();
	__u64 hash = 0;

	if (!cpu)
		return 0;
	struct kudo_answer *answer = kudo_begin_answer(kudo_work_of(cpu), length, &hash);
	if (!answer)
		return 0;
	__u32 size = length;

	kudo_opaque(size);
	if (size < KUDO_DNS_HEADER || size > KUDO_ANSWER_BYTES ||
	    bpf_skb_load_bytes(skb, offset, answer->message, size) != 0)
		return 0;
	answer->length = length;
	bpf_map_update_elem(&kudo_answers, &hash, answer, BPF_ANY);
	return 0;
}

#endif /* KUDO_DNS_BPF_H */
