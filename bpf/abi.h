/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Every struct and constant that crosses between the kernel's programs and the agent. Compiles as C for the BPF target,
 * and as C and as C++20 natively.
 * Invariant: sizes and offsets are asserted by all three; a change here is a change of KUDO_LAYOUT_VERSION, which names
 * the folder of the pins. */
#ifndef KUDO_ABI_H
#define KUDO_ABI_H

#include <linux/types.h>
#include <stddef.h>

#include "names.h"
#include "reasons.h"

#ifdef __cplusplus
#define KUDO_ASSERT static_assert
#else
#define KUDO_ASSERT _Static_assert
#endif

#define kudo_inline static inline __attribute__((always_inline))

#define KUDO_LAYOUT_VERSION 13

/* Which way a packet goes, seen from this host. Ingress: the remote is the source; egress: the destination. */
enum kudo_direction {
	KUDO_INGRESS = 0,
	KUDO_EGRESS = 1,
	KUDO_DIRECTIONS = 2,
};

enum kudo_mode {
	KUDO_OBSERVE = 0,    /* count */
	KUDO_PRIORITISE = 1, /* count and mark; never drops */
	KUDO_ENFORCE = 2,    /* prioritise, and drop what no rule allows */
};

/* Is every packet of the host put to the rules of admission (docs/enforce.md), and what follows from that? */
enum kudo_admission {
	KUDO_ADMISSION_NONE = 0,     /* no */
	KUDO_ADMISSION_REHEARSE = 1, /* it is counted what would be dropped; nothing is */
	KUDO_ADMISSION_ENFORCE = 2,  /* what is not admitted is dropped; with mode enforce */
};

/* How a service's packets are treated. NONE: known range, but no rule for this packet. */
enum kudo_class {
	KUDO_CLASS_NONE = 0,
	KUDO_CLASS_MEDIA = 1,
	KUDO_CLASS_FALLBACK = 2, /* media over TCP */
	KUDO_CLASS_CONTROL = 3,
	KUDO_CLASSES = 4,
};

/* How a packet of a class is marked and queued: the class, but for the voices within media. */
enum kudo_treatment {
	KUDO_TREATMENT_AUDIO = 0,
	KUDO_TREATMENT_VIDEO = KUDO_CLASS_MEDIA, /* media that is not known to be audio */
	KUDO_TREATMENT_FALLBACK = KUDO_CLASS_FALLBACK,
	KUDO_TREATMENT_CONTROL = KUDO_CLASS_CONTROL,
	KUDO_TREATMENTS = KUDO_CLASSES,
};

enum kudo_verdict {
	KUDO_PASS = 0,
	KUDO_PRIORITISED = 1,
	KUDO_DROP = 2,
};

/* Limits. The range-map validator refuses what would exceed them. */
#define KUDO_MAX_SERVICES 128 /* that are counted at once; slot 0 means "no service" */
#define KUDO_MAX_PORTS 8      /* port rules of one service */
#define KUDO_MAX_CANDIDATES 4 /* services whose ranges cover one address */
#define KUDO_MAX_REASONS 32
#define KUDO_MAX_PREFIXES (2 * 1024 * 1024)
KUDO_ASSERT(KUDO_REASON_END <= KUDO_MAX_REASONS, "reasons fit their table");

/* LPM-trie keys (linux/bpf.h, struct bpf_lpm_trie_key): prefix length in bits, then the address in network order,
 * host bits zero. */
struct kudo_lpm4_key {
	__u32 prefix_length; /* 0..32 */
	__be32 address;
};
struct kudo_lpm6_key {
	__u32 prefix_length; /* 0..128 */
	__u8 address[16];
};
KUDO_ASSERT(sizeof(struct kudo_lpm4_key) == 8, "lpm4 key");
KUDO_ASSERT(sizeof(struct kudo_lpm6_key) == 20, "lpm6 key");

/* One service whose range covers an address. */
struct kudo_candidate {
	__u8 service;       /* slot in kudo_policy.services; 0 ends the list */
	__u8 prefix_length; /* of that service's most specific range here, in bits */
};

/* Value of the LPM tries: the services whose ranges cover the prefix, most specific first. A service is in it
 * once. The compiler has already added the covering, shorter prefixes' services, so one lookup tells all. */
struct kudo_match {
	struct kudo_candidate candidates[KUDO_MAX_CANDIDATES];
};
KUDO_ASSERT(sizeof(struct kudo_match) == 8, "match");

/* One port of a service, on the remote's side. */
struct kudo_port_rule {
	__u16 port;    /* host order */
	__u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP; 0 ends the list */
	__u8 class_;   /* enum kudo_class of the packets that this rule allows */
};
KUDO_ASSERT(sizeof(struct kudo_port_rule) == 4, "port rule");

struct kudo_service {
	struct kudo_port_rule ports[KUDO_MAX_PORTS];
};
KUDO_ASSERT(sizeof(struct kudo_service) == 32, "service");

#define KUDO_MAX_ALLOW 256          /* allow rules and lifelines of one policy; element 0 is none */
#define KUDO_MAX_ALLOW_CANDIDATES 16 /* of them that cover one address */

/* Value of the allow rules' LPM tries: all whose prefix covers this one, by index, ascending; 0 ends the list. As with
 * kudo_match one lookup tells all. */
struct kudo_allow_match {
	__u8 rules[KUDO_MAX_ALLOW_CANDIDATES];
};
KUDO_ASSERT(sizeof(struct kudo_allow_match) == 16, "allow match");

/* What an allow rule is about. */
enum kudo_allow_kind {
	KUDO_ALLOW_PROTOCOL = 0,   /* `protocol`, and of TCP and UDP `first_port` to `last_port` */
	KUDO_ALLOW_ECHO = 1,       /* ICMP and ICMPv6 echo */
	KUDO_ALLOW_ICMP_ERROR = 2, /* of a packet that is admitted itself */
	KUDO_ALLOW_NEIGHBOUR = 3,  /* IPv6 neighbour discovery (RFC 4861) and multicast listener discovery (RFC 3810) */
	KUDO_ALLOW_ARP = 4,        /* RFC 826; the remote is the sender's protocol address, on egress the target's */
	KUDO_ALLOW_DHCP = 5,       /* of a client: UDP, local port 68 and remote port 67, IPv6: 546 and 547 */
	KUDO_ALLOW_KINDS = 6,
};

#define KUDO_ALLOW_FROM 1u     /* the remote opens: the ports are local ones */
#define KUDO_ALLOW_TO 2u       /* this host opens: the ports are remote ones */
#define KUDO_ALLOW_LIFELINE 4u /* counted as such, not as a rule of the administrator */

/* One allow rule or lifeline. Its prefix is the key in the tries. */
struct kudo_allow {
	__u16 first_port; /* host order; 0 to 65535: any */
	__u16 last_port;
	__u8 protocol; /* IPPROTO_*; 0: any protocol */
	__u8 kind;     /* enum kudo_allow_kind */
	__u8 flags;    /* KUDO_ALLOW_*; FROM or TO or both */
	__u8 pad;
};
KUDO_ASSERT(sizeof(struct kudo_allow) == 8, "allow rule");

/* A prefilter of the ports of TCP and UDP that allow rules have, whatever their prefix: a clear bit of port % 4096 is a
 * certain "no rule". Rules of other kinds need none: such packets are no fast path's. */
#define KUDO_ALLOW_PORT_BITS 4096
#define KUDO_ALLOW_PORT_WORDS (KUDO_ALLOW_PORT_BITS / 64)

/* skb->mark (SO_MARK, which needs CAP_NET_ADMIN) of kudo-agent's own STUN requests that compare marks on the way: they keep the
 * DSCP that they were sent with, and are no requests of a call. Of the masks that others match the mark by (kube-proxy's, Cilium's,
 * Tailscale's, mwan3's, the AWS CNI's) it has no bit. */
#define KUDO_PROBE_MARK 0x2000006bu

#define KUDO_MARK_PRIORITY 1u /* set skb->priority */
#define KUDO_MARK_DSCP 2u     /* set the DSCP */

/* What an outgoing packet is marked with. */
struct kudo_mark {
	__u32 priority; /* skb->priority, where the interface's queue is not known better: see kudo_interface */
	__u8 dscp;      /* 0..63, RFC 2474 */
	__u8 flags;     /* KUDO_MARK_* */
	__u16 pad;
};
KUDO_ASSERT(sizeof(struct kudo_mark) == 8, "mark");

/* The prefilters are bitmaps in which a clear bit is a certain "not KUDO": a coarse one that rejects most strangers
 * with one load, and a fine one for their neighbours. See prefilter.h. */
#define KUDO_PREFILTER_BITS 65536
#define KUDO_PREFILTER_WORDS (KUDO_PREFILTER_BITS / 64)
#define KUDO_PREFILTER_FINE_BITS 262144
#define KUDO_PREFILTER_FINE_WORDS (KUDO_PREFILTER_FINE_BITS / 64)

kudo_inline int kudo_bit_is_set(const __u64 *words, __u32 bit)
{
	return (int)((words[bit >> 6] >> (bit & 63)) & 1);
}

/* One generation's policy, all but its two LPM tries. Two of these and two pairs of tries exist; generation g lives
 * in slot g & 1. A slot is written only while no program can be reading it. */
struct kudo_policy {
	__u32 generation;      /* which generation this slot holds */
	__u32 mode;            /* enum kudo_mode */
	__u64 serial;          /* of the range map */
	__u32 admission;       /* enum kudo_admission */
	__u32 allowed;         /* elements of `allow` that are used, element 0 included */
	__u64 deadline;  /* ns of CLOCK_BOOTTIME, from which on an enforcing policy judges as prioritise; 0: never */
	__u32 prefixes4;       /* entries in the IPv4 trie */
	__u32 prefixes6;
	__u32 firewall_mark;      /* bits set in skb->mark on ingress for prioritised packets */
	__u32 firewall_mark_mask; /* bits of skb->mark that are kudo-agent's; 0: leave skb->mark alone */
	__u8 content_hash[32]; /* BLAKE2b-256 over the compiled policy: see maps/compile/policy.h */
	struct kudo_mark marks[KUDO_TREATMENTS];
	struct kudo_service services[KUDO_MAX_SERVICES];
	__u64 prefilter4[KUDO_PREFILTER_WORDS];
	__u64 prefilter6[KUDO_PREFILTER_WORDS];
	__u64 prefilter4_fine[KUDO_PREFILTER_FINE_WORDS];
	__u64 prefilter6_fine[KUDO_PREFILTER_FINE_WORDS];
	__u64 domain_bloom[KUDO_DOMAIN_BLOOM_WORDS];
	__u64 domain_multiplier; /* odd: see kudo_domain_bucket() */
	struct kudo_domain domains[KUDO_DOMAIN_BUCKETS][KUDO_DOMAIN_WAYS];
	struct kudo_allow allow[KUDO_MAX_ALLOW];
	__u64 allow_remote_ports[KUDO_ALLOW_PORT_WORDS];
	__u64 allow_local_ports[KUDO_ALLOW_PORT_WORDS];
};
KUDO_ASSERT(offsetof(struct kudo_policy, content_hash) == 48, "policy hash");
KUDO_ASSERT(offsetof(struct kudo_policy, marks) == 80, "policy marks");
KUDO_ASSERT(offsetof(struct kudo_policy, services) == 112, "policy services");
KUDO_ASSERT(sizeof(struct kudo_policy) ==
		    112 + 32 * KUDO_MAX_SERVICES + 2 * 8192 + 2 * 32768 + 512 + 8 + 81920 + 8 * KUDO_MAX_ALLOW + 2 * 512,
	    "policy");

/* What was decided for a packet. Eight bytes, stored and loaded as one word, so it is never seen torn. */
struct kudo_judgement {
	__u32 generation;
	__u8 verdict_and_class; /* enum kudo_verdict in the low nibble, enum kudo_class in the high one */
	__u8 reason;            /* enum kudo_reason */
	__u8 service;           /* slot; 0: none */
	__u8 prefix_length;     /* of the range that decided; the range is the remote's address cut to it; or KUDO_BY_*_NAME */
};
KUDO_ASSERT(sizeof(struct kudo_judgement) == 8, "judgement");

/* Packets and layer-3 bytes as on the wire. */
struct kudo_counter {
	__u64 packets;
	__u64 bytes;
};

/* Flow keys: the five-tuple seen from this host, and the interface. Ports are host order, 0 where the protocol has
 * none or the packet does not carry them (later fragments). Padding is zero. */
struct kudo_flow4_key {
	__be32 remote;
	__be32 local;
	__u16 remote_port;
	__u16 local_port;
	__u32 interface;         /* ifindex */
	__u8 protocol;           /* IPPROTO_* after the extension headers */
	__u8 non_first_fragment; /* 1: these packets carry no ports because they are fragments after the first */
	__u8 pad[2];
};
struct kudo_flow6_key {
	__u8 remote[16];
	__u8 local[16];
	__u16 remote_port;
	__u16 local_port;
	__u32 interface;
	__u8 protocol;
	__u8 non_first_fragment;
	__u8 pad[2];
};
KUDO_ASSERT(sizeof(struct kudo_flow4_key) == 20, "flow4 key");
KUDO_ASSERT(sizeof(struct kudo_flow6_key) == 44, "flow6 key");

struct kudo_flow {
	__u64 judgement;  /* struct kudo_judgement as one word */
	__u64 first_seen; /* jiffies64 */
	__u64 last_seen;  /* jiffies64 */
	struct kudo_counter directions[KUDO_DIRECTIONS];
};
KUDO_ASSERT(sizeof(struct kudo_flow) == 56, "flow");

/* A fragmented datagram whose first fragment was admitted: what the others must have. */
struct kudo_fragment_key {
	__u8 remote[16]; /* IPv4: the first 4 bytes */
	__u8 local[16];
	__be32 id; /* IPv4's 16 bits in the first two bytes */
	__u8 family;
	__u8 protocol; /* IPv4's; IPv6: 0, since RFC 8200 section 4.5 tells fragments by addresses and id */
	__u8 direction;
	__u8 pad;
};
struct kudo_fragments {
	__u64 first_seen; /* ns of CLOCK_MONOTONIC */
	__u32 end;        /* bytes of the first fragment behind the IP header (IPv6: behind the fragment header) */
	__u32 pad;
};
#define KUDO_FRAGMENT_LIFETIME 30000000000ull /* ns: what Linux waits for IPv4's (net.ipv4.ipfrag_time) */
KUDO_ASSERT(sizeof(struct kudo_fragment_key) == 40, "fragment key");
KUDO_ASSERT(sizeof(struct kudo_fragments) == 16, "fragments");

/* A flow that is not admitted, whosever it is: dropped by mode enforce, or what a rehearsal says it would drop. */
struct kudo_denied {
	__u64 first_seen; /* jiffies64 */
	__u64 last_seen;
	struct kudo_counter directions[KUDO_DIRECTIONS];
	__u8 reasons[KUDO_DIRECTIONS]; /* enum kudo_reason of the last packet */
	__u8 pad[6];
};
KUDO_ASSERT(sizeof(struct kudo_denied) == 56, "denied");

/* While packets are dropped a CPU enters at most so many in so many ticks into the table of denied flows, so that a flood
 * costs no more than a drop; a rehearsal enters all. */
#define KUDO_DENIED_BURST 64
#define KUDO_DENIED_TICKS_SHIFT 6

/* One CPU's counters. Totals are the sum over the reasons. */
struct kudo_counters {
	struct kudo_counter reasons[KUDO_MAX_REASONS][KUDO_DIRECTIONS];
	/* what a rehearsal would have dropped: a part of the totals, by the reason that enforce has for it */
	struct kudo_counter would_drop[KUDO_MAX_REASONS][KUDO_DIRECTIONS];
	struct kudo_counter services[KUDO_MAX_SERVICES][KUDO_CLASSES][KUDO_DIRECTIONS];
	/* whose flow could not be entered into the flow table; counted everywhere else */
	__u64 untracked_packets;
	__u64 denied_untracked; /* packets that are in `would_drop` or dropped, and not in the table of denied flows */
	__u64 dns[KUDO_MAX_DNS_OUTCOMES]; /* enum kudo_dns_outcome */
	__u64 tls[KUDO_MAX_TLS_OUTCOMES]; /* enum kudo_tls_outcome */
};
KUDO_ASSERT(sizeof(struct kudo_counters) == 2 * 1024 + 16384 + 16 + 2 * 128, "counters");
KUDO_ASSERT(KUDO_ANSWER_END <= KUDO_MAX_DNS_OUTCOMES, "DNS outcomes fit their table");
KUDO_ASSERT(KUDO_TLS_END <= KUDO_MAX_TLS_OUTCOMES, "TLS outcomes fit their table");

/* One slot of a CPU's flow cache: a flow's judgement, and what this CPU has counted for it since it last wrote back to
 * the flow table. States and invariants F1 to F8: flow_cache.h. What an IPv4 packet touches is one cache line. */
struct kudo_cached_flow {
	__u64 judgement;                /* struct kudo_judgement as one word; 0: the slot is empty */
	__u32 packets[KUDO_DIRECTIONS]; /* not yet in the flow table */
	__u64 bytes[KUDO_DIRECTIONS];
	__u64 last_seen; /* jiffies64 */
	__u32 seq;       /* sequence counter: odd while counts move, see F3 in flow_cache.h */
	union {          /* by family: see kudo_cache_slot() */
		struct kudo_flow4_key key4;
		struct kudo_flow6_key key6;
	};
	__u8 pad[40];
};
KUDO_ASSERT(offsetof(struct kudo_cached_flow, key4) + sizeof(struct kudo_flow4_key) == 64, "cached flow's IPv4 part");
KUDO_ASSERT(sizeof(struct kudo_cached_flow) == 128, "cached flow");

#define KUDO_CACHE_SLOTS 2048

/* What a CPU knows of a flow's admission: as long as generation and window are the current ones its plain packets are not
 * put to the rules again. */
struct kudo_admitted {
	__u32 generation;
	__u32 window; /* jiffies64 >> KUDO_ADMITTED_TICKS_SHIFT, its lower half */
	union {
		struct kudo_flow4_key key4;
		struct kudo_flow6_key key6;
	};
	__u8 reason; /* enum kudo_reason: RULE, ALLOWED or LIFELINE */
	__u8 family;
	__u8 pad[10];
};
KUDO_ASSERT(sizeof(struct kudo_admitted) == 64, "admitted");
#define KUDO_ADMITTED_SLOTS 512 /* of each direction */
#define KUDO_ADMITTED_TICKS_SHIFT 6

/* All that a program writes for every packet, one of these for each possible CPU. */
struct kudo_cpu {
	struct kudo_cached_flow cache[KUDO_CACHE_SLOTS];
	struct kudo_admitted admitted[KUDO_DIRECTIONS][KUDO_ADMITTED_SLOTS];
	__u64 denied_window; /* jiffies64 >> KUDO_DENIED_TICKS_SHIFT, and how many denied packets were entered in it */
	__u64 denied_entered;
	struct kudo_counters counters;
	__u64 scratch[124]; /* the programs' own: what they know of the current packet, struct kudo_scratch */
};
KUDO_ASSERT(sizeof(struct kudo_cpu) % 128 == 0, "cpu");

/* On Wi-Fi skb->priority is KUDO_USER_PRIORITY + the 802.1d user priority, which selects the access category
 * (net/wireless/util.c, cfg80211_classify8021d()), so it can name no class of the queue beside. There skb->tc_index tells
 * the treatment to the queue's classifier: KUDO_TC_INDEX + enum kudo_treatment. */
#define KUDO_USER_PRIORITY 256u
#define KUDO_USER_PRIORITIES 8u
#define KUDO_TC_INDEX 0x4b50u

/* What skb->priority must say on one interface: that depends on the queue. Element `ifindex % KUDO_INTERFACES`. */
struct kudo_interface {
	__u32 index;                    /* ifindex; another one: nothing is known of this interface */
	__u32 egress[KUDO_TREATMENTS];  /* a class id, or KUDO_USER_PRIORITY + n; 0: as the policy's mark says */
	__u32 ingress[KUDO_TREATMENTS]; /* for the queue that incoming packets go through; 0: leave it */
	__u32 tracks_ingress;           /* 1: there is such a queue */
	__u32 pad[2];
};
#define KUDO_INTERFACES 4096
KUDO_ASSERT(sizeof(struct kudo_interface) == 48, "interface");

/* Does the program of one direction see an interface's packets? It answers the agent's latest question with the first
 * packet that it counts. Element `ifindex % KUDO_INTERFACES * KUDO_DIRECTIONS + direction`. */
struct kudo_run {
	__u32 asked;     /* the question's number, which only grows; written by the agent */
	__u32 answered;  /* the last question that was answered; written by the programs */
	__u32 interface; /* ifindex that was asked about; from here on the agent's own */
	__u32 noted;     /* the question that `interface`, `asked_at` and `packets` are of; written last */
	__u64 asked_at;  /* CLOCK_MONOTONIC, in ns */
	__u64 packets;   /* the interface's own counter then */
};
KUDO_ASSERT(sizeof(struct kudo_run) == 32, "run");

/* How long after an outgoing packet of a flow incoming ones are its answers: RFC 4787 REQ-5 and RFC 5382 REQ-5, in ns. */
#define KUDO_ANSWERS_UDP (300 * 1000000000ull)
#define KUDO_ANSWERS_TCP (7440 * 1000000000ull)

enum kudo_rtp_kind {
	KUDO_RTP_UNKNOWN = 0,
	KUDO_RTP_AUDIO = 1,
	KUDO_RTP_VIDEO = 2,
};

#define KUDO_RTP_FIRST 1u      /* no step has been seen yet */
#define KUDO_RTP_MARKER 2u     /* the newest packet with media had the marker */
#define KUDO_RTP_RESTARTING 4u /* the last packet's sequence number was far from the newest's: `restart` */

/* What is known of an RTP stream: see rtp.h. */
struct kudo_rtp_stream {
	__u64 packets;   /* with media */
	__u64 last_seen; /* jiffies64 */
	__u32 probes;    /* packets of nothing but padding */
	__u32 timestamp; /* of the newest packet with media */
	__s32 step;      /* ticks of the last step that was evidence; pictures may be sent in another order than shown */
	__u16 sequence;  /* of the newest packet */
	__u16 restart;   /* the sequence number that would follow a jump */
	__u16 largest;   /* bytes of an RTP packet with media, its header included */
	__u8 payload_type;
	__s8 score;
	__u8 kind;     /* enum kudo_rtp_kind */
	__u8 evidence; /* enum kudo_rtp_evidence that made it so */
	__u8 flags;    /* KUDO_RTP_FIRST and so on */
	__u8 pad;
};
KUDO_ASSERT(sizeof(struct kudo_rtp_stream) == 40, "rtp stream");

/* One RTP stream: RFC 3550's SSRC in one flow. Rows lie in buckets, by a hash of both and the direction: see rtp_table.h.
 */
struct kudo_rtp4_row {
	struct kudo_flow4_key flow;
	__u32 ssrc; /* host order */
	struct kudo_rtp_stream stream;
};
struct kudo_rtp6_row {
	struct kudo_flow6_key flow;
	__u32 ssrc;
	struct kudo_rtp_stream stream;
};
#define KUDO_RTP_WAYS 8
struct kudo_rtp4_bucket {
	__u32 tags[KUDO_RTP_WAYS]; /* of the rows' hashes; 0: the row is empty */
	__u32 pad[8];
	struct kudo_rtp4_row rows[KUDO_RTP_WAYS];
};
struct kudo_rtp6_bucket {
	__u32 tags[KUDO_RTP_WAYS];
	__u32 pad[8];
	struct kudo_rtp6_row rows[KUDO_RTP_WAYS];
};
KUDO_ASSERT(sizeof(struct kudo_rtp4_bucket) == 9 * 64, "rtp4 bucket"); /* a cache line for the tags and for each row */
KUDO_ASSERT(sizeof(struct kudo_rtp6_bucket) == 12 * 64, "rtp6 bucket");

/* Elements of the tables: one half for each enum kudo_direction. */
#define KUDO_RTP4_BUCKETS 2048
#define KUDO_RTP6_BUCKETS 512
#define KUDO_RTP_ROWS ((KUDO_RTP4_BUCKETS + KUDO_RTP6_BUCKETS) * KUDO_DIRECTIONS * KUDO_RTP_WAYS)

/* What one second of an RTP stream's life had. At most 65535 of each are counted. */
struct kudo_rtp_bin {
	__u16 received; /* for the first time */
	__u16 missing;  /* found missing then, and not received since */
	__u16 frames;   /* new timestamps */
	__u16 repeated; /* duplicate and late */
};

/* 250 ms or more without a packet, and packets missing between. */
struct kudo_rtp_outage {
	__u64 begin;        /* the last packet before, ns of CLOCK_MONOTONIC; 0: none */
	__u32 milliseconds; /* until the next one */
	__u32 missing;
	__u32 rate; /* packets in the second before, or the part of one in which it began: what is more */
	__u32 pad;
};

/* Received for the first time and missing, of some window of time. */
struct kudo_rtp_span {
	__u32 received;
	__u32 missing;
};

#define KUDO_RTP_SEEN_WINDOW 512 /* sequence numbers */
#define KUDO_RTP_BINS 64         /* seconds */
#define KUDO_RTP_OUTAGES 4
#define KUDO_RTP_GAPS 4 /* of at least 60, 120, 250, 1000 ms */

/* What the network did to an RTP stream: see rtp_quality.h. Times are ns of CLOCK_MONOTONIC. An element for each row of the
 * tables of streams, IPv4's first: bucket * KUDO_RTP_WAYS + way. What a packet touches is two cache lines, one of `seen`
 * and one of `bins`. */
struct kudo_rtp_quality {
	__u64 unique;
	__u64 lost;
	__u64 expected; /* unique + lost + those of the newest KUDO_RTP_SEEN_WINDOW that are unseen */
	__u64 arrival;  /* of the last packet */
	__u64 slice_end; /* of the window of 200 ms that `slice` is */
	__u64 media_arrival;   /* of the last packet with media */
	__u64 jitter;          /* 16 times RFC 3550's, in ns */
	__u32 media_timestamp; /* of the last packet with media */
	__u32 scale;           /* 1024 ns a tick of the clock; 0: unknown */

	struct kudo_rtp_span slice;
	__u32 extent;          /* sequence numbers since the stream began or restarted, at most KUDO_RTP_SEEN_WINDOW */
	__u32 second;          /* of the newest bin, which is bins[second % KUDO_RTP_BINS] */
	__u32 frame_timestamp; /* of the newest frame */
	__u32 ssrc;            /* of the row's stream */
	__u16 highest;         /* sequence number */
	__u16 jump;            /* the sequence number that would confirm a restart */
	__u8 flags;            /* KUDO_RTP_JUMPED and so on */
	__u8 doubts;           /* seconds in a row in which the clock seemed another */
	__u8 outage_count;     /* the next one's place: % KUDO_RTP_OUTAGES */
	__u8 pad;
	__u64 base_arrival; /* from here on the clock is measured; 0: from the next packet with media on */
	__u32 base_timestamp;
	__u32 first_second;
	__u64 pad2[2];

	__u64 seen[KUDO_RTP_SEEN_WINDOW / 64]; /* bit sequence % 512: of the newest 512, or what `extent` says */

	struct kudo_rtp_bin bins[KUDO_RTP_BINS];

	__u64 duplicate;
	__u64 reordered;
	__u64 late;
	__u64 unconfirmed;
	__u64 restarts;
	__u64 first_arrival;
	__u32 gaps[KUDO_RTP_GAPS];
	struct kudo_rtp_span last_slice; /* the one before `slice` */
	struct kudo_rtp_span worst_slice;
	struct kudo_rtp_span recent;     /* the 15 seconds before `second` - 1 */
	struct kudo_rtp_span worst_15s;
	struct kudo_rtp_outage outages[KUDO_RTP_OUTAGES];
};
KUDO_ASSERT(offsetof(struct kudo_rtp_quality, slice) == 64, "what every packet touches");
KUDO_ASSERT(offsetof(struct kudo_rtp_quality, seen) == 128, "rtp quality's window");
KUDO_ASSERT(offsetof(struct kudo_rtp_quality, bins) == 192, "rtp quality's bins");
KUDO_ASSERT(offsetof(struct kudo_rtp_quality, duplicate) == 704, "rtp quality's rare counts");
KUDO_ASSERT(sizeof(struct kudo_rtp_quality) == 14 * 64, "rtp quality");

/* The SSRCs of a flow's video streams, the last ones that were recognised. Its key is the flow's, with the direction in
 * its first byte of padding. */
#define KUDO_RTP_MAX_VIDEOS 8
struct kudo_rtp_videos {
	__u32 ssrcs[KUDO_RTP_MAX_VIDEOS]; /* 0: none */
	__u32 next;                       /* how many there have been: the next one's place */
};

/* A stray: a remote address in no range of the map that this host sends STUN requests to. The last request's
 * transaction is what a response must repeat. */
struct kudo_stray4_key {
	__be32 remote;
};
struct kudo_stray6_key {
	__u8 remote[16];
};
struct kudo_stray {
	__u64 requests;
	__u64 responses;      /* at most one for each request; 0: none yet */
	__u64 first_response; /* jiffies64 */
	__u64 last_response;  /* jiffies64 */
	__u32 transaction[3]; /* of the last request, as on the wire */
	__u32 interface;      /* ifindex where the last request went out */
	__u32 pending;        /* 1: the last request has no response yet */
	__u32 pad;
};
KUDO_ASSERT(sizeof(struct kudo_stray6_key) == 16, "stray6 key");
KUDO_ASSERT(sizeof(struct kudo_stray) == 56, "stray");

/* A STUN request of this host. */
struct kudo_stun_transaction {
	__u32 id[3];      /* as on the wire */
	__u8 sent_again;  /* 1: retransmitted: its round-trip time cannot be known */
	__u8 answered;
	__u8 pad[2];
	__u64 sent; /* for the first time, ns of CLOCK_MONOTONIC; 0: none */
};

/* An address, IPv4's in the first 4 bytes. */
struct kudo_mapped_address {
	__u8 address[16];
	__u16 port;   /* host order */
	__u16 family; /* 4 or 6; 0: none */
};

#define KUDO_STUN_PENDING 16
#define KUDO_STUN_PATIENCE 5000000000ull /* ns: a request that old without a response is unanswered */
#define KUDO_RTT_BUCKETS 136             /* see stun_probe.h */

/* STUN on a media flow as a probe of its path: see stun_probe.h. Times are ns of CLOCK_MONOTONIC, 0: never. */
struct kudo_stun_probe {
	__u64 last_request;
	__u64 last_response;
	__u64 last_inbound; /* any packet of the flow, known to 200 ms */
	__u64 requests;     /* transactions of this host */
	__u64 responses;    /* of those */
	__u64 retransmitted;
	__u64 remote_requests;
	__u64 remote_responses; /* of this host */
	__u64 round_trips;      /* what the histogram has */
	__u32 rtt_last;         /* us */
	__u32 rtt_min;
	__u64 quiet;         /* ns: the longest time without an incoming packet since the last response with an address */
	__u64 mapped_changes;
	__u64 changed;       /* the last one */
	__u64 changed_quiet; /* `quiet` then */
	struct kudo_mapped_address mapped, mapped_before;
	struct kudo_stun_transaction pending[KUDO_STUN_PENDING]; /* the last ones: requests % KUDO_STUN_PENDING is the next */
	__u32 rtts[KUDO_RTT_BUCKETS];
};
KUDO_ASSERT(sizeof(struct kudo_mapped_address) == 20, "mapped address");
KUDO_ASSERT(sizeof(struct kudo_stun_transaction) == 24, "stun transaction");
KUDO_ASSERT(sizeof(struct kudo_stun_probe) == 152 + 24 * KUDO_STUN_PENDING + 4 * KUDO_RTT_BUCKETS, "stun probe");

KUDO_ASSERT(sizeof(struct kudo_domain) == 80, "domain");
KUDO_ASSERT(sizeof(struct kudo_learned) == 24 * KUDO_LEARNED_NAMES, "learned");
KUDO_ASSERT(sizeof(struct kudo_query_key) == 24, "query key");
KUDO_ASSERT(sizeof(struct kudo_query) == 32, "query");
KUDO_ASSERT(sizeof(struct kudo_response) == 1272, "response");

/* Which service a slot counts for. A name keeps its slot across generations; what an older generation than `since`
 * judged was for another name. */
struct kudo_service_name {
	char name[64]; /* zero-terminated; empty: free slot */
	__u32 since;   /* the first generation that the slot has this name in */
};
KUDO_ASSERT(sizeof(struct kudo_service_name) == 68, "service name");

#endif /* KUDO_ABI_H */
