/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The tracing program: counts packets of KUDO's flows that the kernel frees as dropped (skb:kfree_skb), by flow, reason
 * and place. Attached to the tracepoint itself (tp_btf), which takes no perf event. An object of its own: what is wrong
 * with it stops nothing else. Loaded by agent/drops/tracing.cpp with these constants set.
 * Invariant: nothing here changes a packet or decides over it; another network namespace's packets are not counted; a
 * stranger's cost a few loads, unless one of its addresses shares a byte of the filter with one that a name has. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "drops.h"
#include "judge.h"
#include "named.bpf.h"
#include "on_the_wire.h"
#include "policy.bpf.h"
#include "skb.bpf.h"

char kudo_license[] SEC("license") = "Dual MIT/GPL";

const volatile __u32 kudo_has_reason = 0;    /* 1: the tracepoint tells the reason (kernel >= 5.17) */
const volatile __u32 kudo_has_rx_socket = 0; /* 1: and the receiving socket (kernel >= 6.11) */
const volatile __u32 kudo_namespace = 0;     /* the inode number of the network namespace that counts */
/* This copy's number: see kudo_drop_control.counting. A map of its own, as kudo_instance. */
const volatile __u64 kudo_copy SEC(".rodata.copy") = 0;

KUDO_LRU_MAP(kudo_drops4, struct kudo_drop4_key, struct kudo_drop, KUDO_DROPS4);
KUDO_LRU_MAP(kudo_drops6, struct kudo_drop6_key, struct kudo_drop, KUDO_DROPS6);
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KUDO_DROP_TOTALS);
	__type(key, struct kudo_drop_total_key);
	__type(value, struct kudo_counter);
} kudo_drop_totals SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kudo_drop_control);
} kudo_drop_state SEC(".maps");

/* The headers of a packet that are looked at: mostly the first are enough. */
#define KUDO_FEW_BYTES 192
#define KUDO_MOST_BYTES (KUDO_MAX_EXTENSION_BYTES + 60)

/* An IP header's beginning, of either version. */
union kudo_ip_header {
	struct kudo_ipv4_header ipv4;
	struct kudo_ipv6_header ipv6;
};

/* What is known of the packet, by address, so that the functions below take nothing but numbers. */
struct kudo_dropping {
	__u64 head;   /* skb->head */
	__u64 socket; /* struct sock, or 0 */
	__u64 location;
	__u32 reason;
	__u32 generation;
	__u32 network; /* offset of the IP header from head; KUDO_SKB_NO_HEADER: not found yet */
	__u32 link;    /* of the link header */
	__u32 linear;  /* where what lies at head ends */
	__u32 end;     /* where the packet would end, if it were all there */
	__u32 shared;  /* of struct skb_shared_info */
	__u32 interface;
	__u32 received_on; /* skb->skb_iif; 0: this host has made it */
	__u32 queue_class;
	__u8 flags; /* KUDO_DROP_* */
	__u8 side;  /* enum kudo_side of its remote */
	__u8 both_named; /* a name may have made either address KUDO's */
	__u16 gso_size;
	__u16 gso_segs;
	__u16 ethertype;
	__u32 direction;
	union kudo_ip_header ip;
	struct kudo_packet packet;
	union {
		struct kudo_drop4_key key4;
		struct kudo_drop6_key key6;
	};
	struct kudo_drop_total_key total;
	struct kudo_learned learned;
	struct kudo_drop fresh;
	struct kudo_counter none;
	/* Longer than what is copied: see frame.bpf.h. */
	__u8 bytes[3 * (KUDO_OFFSET_MASK + 1)];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KUDO_DROP_LEVELS);
	__type(key, __u32);
	__type(value, struct kudo_dropping);
} kudo_drop_scratch SEC(".maps");

/* How many of them are in use. What interrupts the program ends before it goes on. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} kudo_drop_depth SEC(".maps");

kudo_inline struct kudo_dropping *kudo_dropping_at(__u32 level)
{
	return bpf_map_lookup_elem(&kudo_drop_scratch, &level);
}

kudo_inline struct kudo_drop_control *kudo_control(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&kudo_drop_state, &zero);
}

/* Its version; 0: there is no header of this EtherType. */
kudo_inline __u32 kudo_version_of(const union kudo_ip_header *ip, __u16 ethertype)
{
	__u32 version = ip->ipv4.version_and_ihl >> 4;

	if (ethertype == KUDO_ETHERTYPE_IPV4)
		return version == 4 ? 4 : 0;
	return ethertype == KUDO_ETHERTYPE_IPV6 && version == 6 ? 6 : 0;
}

/* Only family and remote. */
kudo_inline void kudo_set_remote(struct kudo_packet *packet, const union kudo_ip_header *ip, __u32 version,
				 __u32 direction)
{
	packet->family = (__u8)version;
	if (version == 4)
		packet->key4.remote = direction == KUDO_EGRESS ? ip->ipv4.destination : ip->ipv4.source;
	else
		__builtin_memcpy(packet->key6.remote,
				 direction == KUDO_EGRESS ? ip->ipv6.destination : ip->ipv6.source, 16);
}

kudo_inline int kudo_side_maybe(__u32 generation, const union kudo_ip_header *ip, __u32 version, __u32 direction)
{
	struct kudo_packet packet;

	kudo_set_remote(&packet, ip, version, direction);
	return kudo_prefilter_maybe(&kudo_policies[generation & 1], &packet) || kudo_is_learned_maybe(&packet);
}

/* What is known of a packet's address. */
enum kudo_side {
	KUDO_SIDE_STRANGER = 0,
	KUDO_SIDE_NAMED = 1, /* a name may have made flows of it KUDO's */
	KUDO_SIDE_IN_RANGE = 2,
};
kudo_noinline int kudo_side_of(__u32 level, __u32 version, __u32 direction)
{
	struct kudo_dropping *dropping = kudo_dropping_at(level);

	if (!dropping)
		return KUDO_SIDE_STRANGER;
	struct kudo_packet *packet = &dropping->packet;
	__u32 generation = dropping->generation;

	kudo_set_remote(packet, &dropping->ip, version, direction);
	if (kudo_prefilter_maybe(&kudo_policies[generation & 1], packet)) {
		const struct kudo_match *match = kudo_longest_match(packet, generation & 1);

		if (match && match->candidates[0].service != 0)
			return KUDO_SIDE_IN_RANGE;
	}
	return kudo_is_learned_maybe(packet) ? KUDO_SIDE_NAMED : KUDO_SIDE_STRANGER;
}

/* The IP header of a packet whose skb->network_header points elsewhere: behind its link headers. 0, or 1: none. */
kudo_noinline int kudo_find_network(__u32 level)
{
	struct kudo_dropping *dropping = kudo_dropping_at(level);

	if (!dropping || dropping->link == KUDO_SKB_NO_HEADER || dropping->link >= dropping->linear)
		return 1;
	__u32 available = dropping->linear - dropping->link;
	struct kudo_frame frame = {.wire_length = dropping->end - dropping->link, .link = KUDO_LINK_ETHERNET};
	__u16 ethertype = 0;

	if (available > KUDO_FEW_BYTES)
		available = KUDO_FEW_BYTES;
	__u32 size = available - 1;

	kudo_bound_offset(size);
	if (bpf_probe_read_kernel(dropping->bytes, size + 1, (const void *)(dropping->head + dropping->link)) != 0)
		return 1;
	if (kudo_parse_link(dropping->bytes, dropping->bytes + available, &frame, &dropping->packet, &ethertype) != 0)
		return 1;
	dropping->network = dropping->link + dropping->packet.l3_offset;
	dropping->ethertype = ethertype;
	return ethertype != KUDO_ETHERTYPE_IPV4 && ethertype != KUDO_ETHERTYPE_IPV6;
}

/* Whether it may be KUDO's packet, and its direction: enum kudo_side of its remote. */
kudo_noinline int kudo_find_remote(__u32 level)
{
	struct kudo_dropping *dropping = kudo_dropping_at(level);

	if (!dropping)
		return KUDO_SIDE_STRANGER;
	const union kudo_ip_header *ip = &dropping->ip;

	if (bpf_probe_read_kernel(&dropping->ip, sizeof(*ip), (const void *)(dropping->head + dropping->network)) != 0)
		return KUDO_SIDE_STRANGER;
	__u32 version = kudo_version_of(ip, dropping->ethertype);

	if (version == 0)
		return KUDO_SIDE_STRANGER;
	__u32 egress = (__u32)kudo_side_of(level, version, KUDO_EGRESS);
	__u32 ingress = (__u32)kudo_side_of(level, version, KUDO_INGRESS);

	if (egress == KUDO_SIDE_STRANGER && ingress == KUDO_SIDE_STRANGER)
		return KUDO_SIDE_STRANGER;
	dropping->both_named = (egress & ingress) == KUDO_SIDE_NAMED;
	if (egress == ingress)
		dropping->direction = dropping->received_on ? KUDO_INGRESS : KUDO_EGRESS;
	else
		dropping->direction = egress > ingress ? KUDO_EGRESS : KUDO_INGRESS;
	/* The flow as far as this header tells, should the parser refuse it. */
	struct kudo_packet *packet = &dropping->packet;

	__builtin_memset(packet, 0, sizeof(*packet));
	packet->l3_length = dropping->end - dropping->network;
	kudo_set_remote(packet, ip, version, dropping->direction);
	if (version == 4) {
		packet->key4.local = dropping->direction == KUDO_EGRESS ? ip->ipv4.source : ip->ipv4.destination;
		packet->key4.protocol = ip->ipv4.protocol;
	} else {
		__builtin_memcpy(packet->key6.local,
				 dropping->direction == KUDO_EGRESS ? ip->ipv6.source : ip->ipv6.destination, 16);
		packet->key6.protocol = ip->ipv6.next_header;
	}
	return (int)(egress > ingress ? egress : ingress);
}

/* Parses the first bytes of the packet: KUDO_PARSE_PULL if it takes more. */
kudo_noinline int kudo_parse_dropped(__u32 level, __u32 most)
{
	struct kudo_dropping *dropping = kudo_dropping_at(level);

	if (!dropping || dropping->network >= dropping->linear || most > KUDO_MOST_BYTES)
		return KUDO_REASON_TRUNCATED_IP;
	__u32 available = dropping->linear - dropping->network;
	struct kudo_frame frame = {
		.wire_length = dropping->end - dropping->network,
		.link = KUDO_LINK_NONE,
		.direction = dropping->direction,
		.is_gso = dropping->gso_size != 0,
	};

	if (available > most)
		available = most;
	__u32 size = available - 1;

	kudo_bound_offset(size);
	if (bpf_probe_read_kernel(dropping->bytes, size + 1, (const void *)(dropping->head + dropping->network)) != 0)
		return KUDO_REASON_TRUNCATED_IP;
	dropping->packet.l3_offset = 0;
	return (int)kudo_parse_network(dropping->bytes, dropping->bytes + available, &frame, dropping->ethertype,
				       &dropping->packet);
}

kudo_inline void kudo_parse_either(__u32 level)
{
	if (kudo_parse_dropped(level, KUDO_FEW_BYTES) == KUDO_PARSE_PULL)
		kudo_parse_dropped(level, KUDO_MOST_BYTES);
}

/* What the last packet's socket is like, once for a row. */
kudo_noinline int kudo_note_socket(__u32 level)
{
	struct kudo_dropping *dropping = kudo_dropping_at(level);
	const struct socket *process_side = 0;
	unsigned char state = 0;
	unsigned long inode = 0;
	__u16 protocol = 0;
	int receive_buffer = 0, queued = 0;

	if (!dropping)
		return 0;
	const struct sock *sock = (const struct sock *)dropping->socket;

	__builtin_memset(&dropping->fresh.socket, 0, sizeof(dropping->fresh.socket));
	if (!sock)
		return 0;
	kudo_read(state, sock, __sk_common.skc_state);
	if (state == 0 || state == KUDO_TCP_TIME_WAIT || state == KUDO_TCP_NEW_SYN_RECV)
		return 0;
	kudo_read(process_side, sock, sk_socket);
	if (process_side)
		kudo_read(inode, (const struct socket_alloc *)process_side, vfs_inode.i_ino);
	kudo_read(protocol, sock, sk_protocol);
	kudo_read(receive_buffer, sock, sk_rcvbuf);
	kudo_read(queued, sock, sk_backlog.rmem_alloc.counter);
	kudo_read(dropping->fresh.socket.cookie, sock, __sk_common.skc_cookie.counter);
	dropping->fresh.socket.inode = inode;
	dropping->fresh.socket.protocol = protocol;
	dropping->fresh.socket.receive_buffer = (__u32)receive_buffer;
	dropping->fresh.socket.queued = (__u32)queued;
	return 0;
}

kudo_inline void kudo_add_to_counter(struct kudo_counter *counter, const struct kudo_counter *wire)
{
	__sync_fetch_and_add(&counter->packets, wire->packets);
	__sync_fetch_and_add(&counter->bytes, wire->bytes);
}

/* What the flow's row on that interface says: 1: a name made it KUDO's; 0: it is a stranger's; -1: it does not tell. */
kudo_noinline int kudo_row_is_named(__u32 level, __u32 interface)
{
	struct kudo_dropping *dropping = kudo_dropping_at(level);

	if (!dropping)
		return -1;
	struct kudo_packet *packet = &dropping->packet;
	int ipv6 = packet->family == 6;

	if (ipv6)
		packet->key6.interface = interface;
	else
		packet->key4.interface = interface;
	const struct kudo_flow *flow = kudo_find_flow(&packet->key6, ipv6);

	if (!flow)
		return -1;
	union kudo_judgement_word judged = {.word = *(volatile const __u64 *)&flow->judgement};

	if (judged.judgement.generation == dropping->generation)
		return judged.judgement.reason == KUDO_REASON_NAME;
	if (kudo_keeps_name(&kudo_policies[dropping->generation & 1], judged.judgement, kudo_protocol_of(packet),
			    kudo_remote_port_of(packet)))
		return 1;
	return -1;
}

/* One of the names in dropping.learned. 1: it makes the packet KUDO's. */
kudo_noinline int kudo_is_of_name(__u32 level, __u32 index)
{
	struct kudo_dropping *dropping = kudo_dropping_at(level);

	if (!dropping)
		return 0;
	const struct kudo_packet *packet = &dropping->packet;

	return kudo_judge_learned_name(&kudo_policies[dropping->generation & 1],
				       &dropping->learned.names[kudo_index(index, KUDO_LEARNED_NAMES - 1)],
				       bpf_ktime_get_boot_ns(), kudo_protocol_of(packet), kudo_remote_port_of(packet))
		       .reason == KUDO_REASON_NAME;
}

/* Has a name made the packet's flow KUDO's, or would it do so now? */
kudo_noinline int kudo_is_named(__u32 level)
{
	struct kudo_dropping *dropping = kudo_dropping_at(level);

	if (!dropping || dropping->packet.non_first_fragment)
		return 0;
	/* Where a socket has it the device is gone, and the route's is the loopback. */
	__u32 received_on = dropping->received_on, interface = dropping->interface;
	int named = received_on ? kudo_row_is_named(level, received_on) : -1;

	if (named < 0 && interface != received_on)
		named = kudo_row_is_named(level, interface);
	if (named >= 0)
		return named;
	const struct kudo_learned *learned = kudo_learned_of(&dropping->packet);

	if (!learned)
		return 0;
	dropping->learned = *learned;
	for (__u32 i = 0; i < KUDO_LEARNED_NAMES; i++)
		if (kudo_is_of_name(level, i))
			return 1;
	return 0;
}

/* Would the active policy drop it? */
kudo_inline __u32 kudo_is_judged(const struct kudo_dropping *dropping)
{
	const struct kudo_policy *policy = &kudo_policies[dropping->generation & 1];
	const struct kudo_packet *packet = &dropping->packet;

	if (policy->mode != KUDO_ENFORCE || dropping->side == KUDO_SIDE_NAMED)
		return 0;
	const struct kudo_match *match = kudo_longest_match(packet, dropping->generation & 1);
	__u8 protocol = kudo_protocol_of(packet);
	__u16 port = kudo_remote_port_of(packet);

	return kudo_verdict_of(kudo_judge(policy, match, protocol, port, packet->non_first_fragment)) == KUDO_DROP;
}

kudo_noinline int kudo_count_drop(__u32 level)
{
	struct kudo_dropping *dropping = kudo_dropping_at(level);
	struct kudo_drop_control *control = kudo_control();

	if (!dropping || !control)
		return 0;
	const struct kudo_packet *packet = &dropping->packet;
	int ipv6 = packet->family == 6;
	struct kudo_counter wire = kudo_on_the_wire(packet, dropping->gso_size, dropping->gso_segs);
	__u8 flags = dropping->flags | (kudo_is_judged(dropping) ? KUDO_DROP_JUDGED : 0);

	struct kudo_drop_total_key *total_key = &dropping->total;
	total_key->location = dropping->location;
	total_key->reason = dropping->reason;
	total_key->direction = (__u8)dropping->direction;
	total_key->flags = flags;
	total_key->family = ipv6 ? 6 : 4;
	total_key->pad = 0;
	dropping->none.packets = dropping->none.bytes = 0;
	struct kudo_counter *total = kudo_find_or_enter(&kudo_drop_totals, total_key, &dropping->none);
	if (total)
		kudo_add_to_counter(total, &wire);
	else
		__sync_fetch_and_add(&control->without_total, wire.packets);

	__u64 now = bpf_jiffies64();
	struct kudo_drop *row;
	dropping->fresh.wire = dropping->none;
	dropping->fresh.first_seen = dropping->fresh.last_seen = now;
	if (ipv6) {
		struct kudo_drop6_key *key = &dropping->key6;
		key->flow = packet->key6;
		key->flow.interface = dropping->interface;
		key->reason = dropping->reason;
		key->location = dropping->location;
		key->queue_class = dropping->queue_class;
		key->direction = (__u8)dropping->direction;
		key->flags = flags;
		key->pad[0] = key->pad[1] = 0;
		row = kudo_find_or_enter(&kudo_drops6, key, &dropping->fresh);
	} else {
		struct kudo_drop4_key *key = &dropping->key4;
		key->flow = packet->key4;
		key->flow.interface = dropping->interface;
		key->reason = dropping->reason;
		key->location = dropping->location;
		key->queue_class = dropping->queue_class;
		key->direction = (__u8)dropping->direction;
		key->flags = flags;
		key->pad[0] = key->pad[1] = 0;
		row = kudo_find_or_enter(&kudo_drops4, key, &dropping->fresh);
	}
	if (!row) {
		__sync_fetch_and_add(&control->without_row, wire.packets);
		return 0;
	}
	kudo_add_to_counter(&row->wire, &wire);
	row->last_seen = now;
	if (dropping->fresh.socket.protocol)
		row->socket = dropping->fresh.socket;
	return 0;
}

/* A packet whose facts are in the scratch of this level. */
kudo_noinline int kudo_look_at_drop(__u32 level)
{
	struct kudo_dropping *dropping = kudo_dropping_at(level);
	struct kudo_drop_control *control = kudo_control();

	if (!dropping || !control)
		return 0;
	if (dropping->network == KUDO_SKB_NO_HEADER && kudo_find_network(level) != 0) {
		__sync_fetch_and_add(&control->unparsed, 1);
		return 0;
	}
	dropping->side = (__u8)kudo_find_remote(level);
	if (dropping->side == KUDO_SIDE_STRANGER)
		return 0;
	const struct skb_shared_info *shared = (const struct skb_shared_info *)(dropping->head + dropping->shared);
	kudo_read(dropping->gso_size, shared, gso_size);
	kudo_read(dropping->gso_segs, shared, gso_segs);
	kudo_parse_either(level);
	if (dropping->side == KUDO_SIDE_NAMED && !kudo_is_named(level)) {
		if (!dropping->both_named)
			return 0;
		dropping->direction ^= KUDO_EGRESS ^ KUDO_INGRESS;
		kudo_parse_either(level);
		if (!kudo_is_named(level))
			return 0;
	}
	kudo_note_socket(level);
	return kudo_count_drop(level);
}

/* Namespaces' inode numbers begin here (include/linux/proc_ns.h; the initial one's is just below since 6.18). What is no
 * device's is told by that: skb->dev shares its place with other things while a packet waits in a socket or for its other
 * fragments. */
#define KUDO_FIRST_NAMESPACE 0xefffff00u

kudo_inline __u32 kudo_namespace_of(const struct net *net)
{
	__u32 inode = 0;

	kudo_read(inode, net, ns.inum);
	return inode;
}

/* Of a device, or of what lies in its place. */
kudo_inline __u32 kudo_namespace_of_device(const struct net_device *device)
{
	const struct net *net = 0;

	/* Loads of any address are safe where the tracepoint has reasons: before 5.13 of a user's address they are not. */
	if (kudo_has_reason)
		return device->nd_net.net->ns.inum;
	kudo_read(net, device, nd_net.net);
	return kudo_namespace_of(net);
}

kudo_inline __u32 kudo_namespace_of_socket(const struct sock *sock)
{
	const struct net *net = 0;

	kudo_read(net, sock, __sk_common.skc_net.net);
	return kudo_namespace_of(net);
}

kudo_inline __u32 kudo_is_frame_type(__u16 ethertype)
{
	return kudo_is_tag(ethertype) | kudo_equal(ethertype, KUDO_ETHERTYPE_PPPOE_SESSION);
}

/* The receiving socket where the tracepoint tells it, else the packet's; 0: it has none. As a number: what the verifier
 * knows of it differs from kernel to kernel. */
kudo_inline __u64 kudo_socket_of(const __u64 *context)
{
	const struct sk_buff *skb = (const struct sk_buff *)context[0];
	__u64 socket = 0;

	if (kudo_has_rx_socket) {
		const struct sock *receiver = (const struct sock *)context[3];
		if (receiver)
			return (__u64)receiver;
	}
	kudo_read(socket, skb, sk);
	return socket;
}

SEC("tp_btf/kfree_skb")
int kudo_drop(__u64 *context)
{
	const struct sk_buff *skb = (const struct sk_buff *)context[0];
	__u16 ethertype = kudo_swap16(skb->protocol);
	int is_ip = ethertype == KUDO_ETHERTYPE_IPV4 || ethertype == KUDO_ETHERTYPE_IPV6;

	if (!is_ip && !kudo_is_frame_type(ethertype))
		return 0;
	__u32 generation = kudo_read_generation();
	if (generation == 0)
		return 0;

	__u32 space = kudo_namespace_of_device(skb->dev);
	__u32 interface = 0;
	__u8 flags = 0;
	if (space >= KUDO_FIRST_NAMESPACE) {
		if (space != kudo_namespace)
			return 0;
		interface = (__u32)skb->dev->ifindex;
	} else {
		const struct dst_entry *route = (const struct dst_entry *)(skb->_skb_refdst & KUDO_SKB_DST_PTRMASK);
		const struct net_device *device = 0;
		const struct net *net = 0;

		/* Who asks for a route (inet_rtm_getroute()) has the kernel make a packet for that, and drop it: it is
		 * nobody's, and its network header is where a link header would begin. */
		if (route && !kudo_socket_of(context) && skb->mac_header == skb->network_header)
			return 0;
		kudo_read(device, route, dev);
		kudo_read(net, device, nd_net.net);
		__u32 of_route = kudo_namespace_of(net);
		space = kudo_namespace_of_socket((const struct sock *)kudo_socket_of(context));
		if (space < KUDO_FIRST_NAMESPACE)
			space = of_route;
		if (space < KUDO_FIRST_NAMESPACE)
			flags |= KUDO_DROP_NAMESPACE_UNKNOWN;
		else if (space != kudo_namespace)
			return 0;
		if (of_route == kudo_namespace)
			kudo_read(interface, device, ifindex);
	}

	__u32 network = skb->network_header, linear = skb->tail;
	const unsigned char *head = skb->head;
	if (is_ip && network + sizeof(struct kudo_ipv4_header) <= linear) {
		union kudo_ip_header ip = {};

		bpf_probe_read_kernel(&ip, sizeof(ip), head + network);
		__u32 version = kudo_version_of(&ip, ethertype);
		if (version == 0)
			network = KUDO_SKB_NO_HEADER;
		else if (!kudo_side_maybe(generation, &ip, version, KUDO_EGRESS) &&
			 !kudo_side_maybe(generation, &ip, version, KUDO_INGRESS))
			return 0;
	} else {
		network = KUDO_SKB_NO_HEADER;
	}

	struct kudo_drop_control *control = kudo_control();
	__u32 zero = 0;
	__u32 *depth = bpf_map_lookup_elem(&kudo_drop_depth, &zero);
	if (!control || !depth || control->counting != kudo_copy)
		return 0;
	__u32 level = *depth;
	struct kudo_dropping *dropping = kudo_dropping_at(level);
	if (!dropping) {
		__sync_fetch_and_add(&control->nested, 1);
		return 0;
	}
	*(volatile __u32 *)depth = level + 1;
	dropping->head = (__u64)head;
	dropping->socket = kudo_socket_of(context);
	dropping->location = context[1];
	dropping->reason = kudo_has_reason ? (__u32)context[2] : 0;
	dropping->generation = generation;
	dropping->network = network;
	dropping->link = skb->mac_header;
	dropping->linear = linear;
	dropping->end = (__u32)(skb->data - head) + skb->len;
	dropping->shared = skb->end;
	dropping->interface = interface ? interface : (__u32)skb->skb_iif;
	dropping->queue_class = skb->priority;
	dropping->flags = flags | (skb->mark == KUDO_DROP_MARK ? KUDO_DROP_BY_TC : 0);
	dropping->received_on = (__u32)skb->skb_iif;
	dropping->ethertype = ethertype;
	kudo_look_at_drop(level);
	*(volatile __u32 *)depth = level;
	return 0;
}
