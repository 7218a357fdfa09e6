/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The kernel's tables: every BPF map of the data path and who writes it. Invariant: names and sizes are those of
 * agent/datapath.cpp's pins; a change is a change of KUDO_LAYOUT_VERSION. */
#ifndef KUDO_MAPS_BPF_H
#define KUDO_MAPS_BPF_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"

/* Which generation judges: written by the agent with one aligned store, read once per packet. 0: none yet. */
__u32 kudo_active SEC(".data.active") = 0;

/* Generation g's policy is kudo_policies[g & 1]. Written by the agent while the other one is active and nobody can
 * still be reading this one. */
struct kudo_policy kudo_policies[2] SEC(".data.policies") = {};

/* The tries, in the same two slots. Not maps in a map: a slot is refilled in place while nobody reads it, which saves
 * every packet the outer lookup. */
#define KUDO_LPM_MAP(NAME, KEY)                                                                                        \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);                                                                   \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                                                  \
		__uint(max_entries, KUDO_MAX_PREFIXES);                                                                \
		__type(key, struct KEY);                                                                               \
		__type(value, struct kudo_match);                                                                      \
	} NAME SEC(".maps")

KUDO_LPM_MAP(kudo_lpm4_0, kudo_lpm4_key);
KUDO_LPM_MAP(kudo_lpm4_1, kudo_lpm4_key);
KUDO_LPM_MAP(kudo_lpm6_0, kudo_lpm6_key);
KUDO_LPM_MAP(kudo_lpm6_1, kudo_lpm6_key);

/* Flows of KUDO's addresses; strangers never get in. The longest unused go first when it is full. The agent sets the
 * sizes before it loads. */
#define KUDO_FLOW_MAP(NAME, KEY, SIZE)                                                                                 \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                                                   \
		__uint(max_entries, SIZE);                                                                             \
		__type(key, struct KEY);                                                                               \
		__type(value, struct kudo_flow);                                                                       \
	} NAME SEC(".maps")

KUDO_FLOW_MAP(kudo_flows4, kudo_flow4_key, 131072);
KUDO_FLOW_MAP(kudo_flows6, kudo_flow6_key, 32768);

/* The RTP streams of media flows; the longest unused go first. */
#define KUDO_RTP_MAP(NAME, KEY, SIZE)                                                                                  \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                                                   \
		__uint(max_entries, SIZE);                                                                             \
		__type(key, struct KEY);                                                                               \
		__type(value, struct kudo_rtp_stream);                                                                 \
	} NAME SEC(".maps")

KUDO_RTP_MAP(kudo_rtp4, kudo_rtp4_key, 16384);
KUDO_RTP_MAP(kudo_rtp6, kudo_rtp6_key, 4096);

/* Addresses outside of the map that this host asks by STUN; the longest unused go first. */
#define KUDO_STRAY_MAP(NAME, KEY)                                                                                      \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                                                   \
		__uint(max_entries, 1024);                                                                             \
		__type(key, struct KEY);                                                                               \
		__type(value, struct kudo_stray);                                                                      \
	} NAME SEC(".maps")

KUDO_STRAY_MAP(kudo_strays4, kudo_stray4_key);
KUDO_STRAY_MAP(kudo_strays6, kudo_stray6_key);

/* When the last question was noted in kudo_questions, in jiffies64; 0: never. Written by the programs. */
__u64 kudo_asked SEC(".data.asked") = 0;

/* What this host asks name servers about the policy's names, and the last answer to each; the longest unused go first.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct kudo_question_key);
	__type(value, struct kudo_question);
} kudo_questions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 512);
	__type(key, __u64);
	__type(value, struct kudo_answer);
} kudo_answers SEC(".maps");

/* Where an answer is put together: too large for the stack. Each loaded object has its own, and nobody else reads it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kudo_answer);
} kudo_answer_work SEC(".maps");

/* How to mark for each interface's queue. Written by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KUDO_INTERFACES);
	__type(key, __u32);
	__type(value, struct kudo_interface);
} kudo_interfaces SEC(".maps");

/* One element for each possible CPU: the agent sets the size before it loads. Not a per-CPU array: every kernel inlines
 * this one's lookup, and the agent reads it without a system call. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kudo_cpu);
} kudo_cpus SEC(".maps");

/* Slot to service name: only the agent reads and writes it; it lives here so that it lives as long as the counters. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KUDO_MAX_SERVICES);
	__type(key, __u32);
	__type(value, struct kudo_service_name);
} kudo_services SEC(".maps");

/* No program uses it. An update of a map of maps returns only when every program that was running has ended
 * (kernel/bpf/syscall.c, maybe_wait_bpf_programs, since 4.20): the agent's way to wait until nobody reads a generation.
 */
struct kudo_grace_inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} kudo_grace_value SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct kudo_grace_inner);
} kudo_grace SEC(".maps") = {
	.values = {[0] = &kudo_grace_value},
};

#endif /* KUDO_MAPS_BPF_H */
