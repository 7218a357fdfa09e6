/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Every BPF map of the data path, with those of policy.bpf.h and named.bpf.h, and who writes it.
 * Invariant: names and sizes are those of the pins in agent/datapath/datapath.cpp; a change is a change of
 * KUDO_LAYOUT_VERSION. */
#ifndef KUDO_MAPS_BPF_H
#define KUDO_MAPS_BPF_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "named.bpf.h"
#include "policy.bpf.h"

/* The RTP streams of media flows: no hash of the kernel's, whose lookup would be the largest part of what a media packet
 * costs. */
#define KUDO_RTP_MAP(NAME, BUCKET, BUCKETS)                                                                            \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__uint(max_entries, BUCKETS *KUDO_DIRECTIONS);                                                         \
		__type(key, __u32);                                                                                    \
		__type(value, struct BUCKET);                                                                          \
	} NAME SEC(".maps")

KUDO_RTP_MAP(kudo_rtp4, kudo_rtp4_bucket, KUDO_RTP4_BUCKETS);
KUDO_RTP_MAP(kudo_rtp6, kudo_rtp6_bucket, KUDO_RTP6_BUCKETS);

/* What the network does to them: one for each of their rows, see kudo_quality_row4(). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KUDO_RTP_ROWS);
	__type(key, __u32);
	__type(value, struct kudo_rtp_quality);
} kudo_qualities SEC(".maps");

/* Which of them are a flow's videos. */
KUDO_LRU_MAP(kudo_videos4, struct kudo_flow4_key, struct kudo_rtp_videos, 4096);
KUDO_LRU_MAP(kudo_videos6, struct kudo_flow6_key, struct kudo_rtp_videos, 1024);

/* Media flows' STUN: see stun_probe.bpf.h. */
KUDO_LRU_MAP(kudo_probes4, struct kudo_flow4_key, struct kudo_stun_probe, 4096);
KUDO_LRU_MAP(kudo_probes6, struct kudo_flow6_key, struct kudo_stun_probe, 1024);

/* Addresses in no range of the map that this host sends STUN requests to. */
KUDO_LRU_MAP(kudo_strays4, struct kudo_stray4_key, struct kudo_stray, 1024);
KUDO_LRU_MAP(kudo_strays6, struct kudo_stray6_key, struct kudo_stray, 1024);

/* When the last query was noted in kudo_queries, in jiffies64; 0: never. Written by the programs. */
__u64 kudo_last_query SEC(".data.last_query") = 0;

/* This host's DNS queries for the policy's names that have no response yet, and the last response to each query. */
KUDO_LRU_MAP(kudo_queries, struct kudo_query_key, struct kudo_query, 1024);
KUDO_LRU_MAP(kudo_responses, __u64, struct kudo_response, 512);

/* Where a response is put together: too large for the stack. Each loaded object has its own; only it reads that.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kudo_response);
} kudo_response_scratch SEC(".maps");

/* Connections that this host has opened; ClientHellos that are not whole yet; and when the last one of each was entered, in
 * jiffies64; 0: never. */
__u64 kudo_openings[KUDO_OPENINGS] SEC(".data.openings") = {};
KUDO_LRU_MAP(kudo_hellos4, struct kudo_flow4_key, struct kudo_hello, 256);
KUDO_LRU_MAP(kudo_hellos6, struct kudo_flow6_key, struct kudo_hello, 128);
__u64 kudo_last_opening SEC(".data.last_hello") = 0;
__u64 kudo_last_hello SEC(".data.last_hello") = 0;

/* Where one is put together, with room behind it: the verifier knows of two numbers only how large each can be. Each loaded
 * object has its own. */
struct kudo_hello_scratch {
	struct kudo_hello hello;
	__u8 room[KUDO_HELLO_BYTES];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kudo_hello_scratch);
} kudo_hello_scratches SEC(".maps");

/* When this host has last sent a packet of a flow, in ns of CLOCK_MONOTONIC. The key's interface is 0: the answer may
 * come by another. Only with a firewall mark or admission, see outgoing.bpf.h; incoming packets enter nothing here. */
KUDO_LRU_MAP(kudo_outgoing4, struct kudo_flow4_key, __u64, 65536);
KUDO_LRU_MAP(kudo_outgoing6, struct kudo_flow6_key, __u64, 65536);

/* The allow rules, in the slots of the generations as the ranges are: see policy.bpf.h. */
KUDO_LPM_MAP(kudo_allow4_0, kudo_lpm4_key, kudo_allow_match, 65536);
KUDO_LPM_MAP(kudo_allow4_1, kudo_lpm4_key, kudo_allow_match, 65536);
KUDO_LPM_MAP(kudo_allow6_0, kudo_lpm6_key, kudo_allow_match, 65536);
KUDO_LPM_MAP(kudo_allow6_1, kudo_lpm6_key, kudo_allow_match, 65536);

/* Datagrams in fragments whose first one was admitted. Only admitted packets enter anything. */
KUDO_LRU_MAP(kudo_fragments, struct kudo_fragment_key, struct kudo_fragments, 4096);

/* What is not admitted, by flow. */
KUDO_LRU_MAP(kudo_denied4, struct kudo_flow4_key, struct kudo_denied, 16384);
KUDO_LRU_MAP(kudo_denied6, struct kudo_flow6_key, struct kudo_denied, 4096);

/* Whether programs run: asked by the agent, answered by the programs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, KUDO_INTERFACES * KUDO_DIRECTIONS);
	__type(key, __u32);
	__type(value, struct kudo_run);
} kudo_runs SEC(".maps");

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
 * (kernel/bpf/syscall.c, maybe_wait_bpf_programs, since 4.20): the agent's way to wait until no program reads a slot
 * (G3). */
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
