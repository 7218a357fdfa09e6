/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The one list of reasons: why a packet got its verdict.
 * Invariant: every packet that reaches a program is counted under exactly one of these, so the totals are the sum over
 * this list. A reason never changes its meaning; new ones are added before `end`. */
#ifndef KUDO_REASONS_H
#define KUDO_REASONS_H

/* What `enforce` does with a packet of this reason; in the other modes every packet passes. */
enum kudo_enforcement {
	KUDO_ENFORCE_PASS = 0,
	KUDO_ENFORCE_DROP = 1,
};

/* X(NAME, name, what enforce does, what a person reads) */
#define KUDO_REASONS(X)                                                                                                \
	X(NO_POLICY, no_policy, KUDO_ENFORCE_PASS, "no range map is loaded")                                           \
	X(STRANGER, stranger, KUDO_ENFORCE_DROP, "the remote address is in no range of the map")                       \
	X(RULE, rule, KUDO_ENFORCE_PASS, "a range and a port of the map allow it")                                     \
	X(PORT_NOT_LISTED, port_not_listed, KUDO_ENFORCE_DROP, "the range is known, the port is not in its list")      \
	X(ICMP, icmp, KUDO_ENFORCE_PASS, "ICMP with a known range: errors and path MTU must get through")              \
	X(OTHER_PROTOCOL, other_protocol, KUDO_ENFORCE_DROP, "a known range, but neither TCP, UDP nor ICMP")           \
	X(LATER_FRAGMENT, later_fragment, KUDO_ENFORCE_PASS,                                                           \
	  "a fragment without ports, judged by its address; its first fragment was judged whole")                      \
	X(NOT_IP, not_ip, KUDO_ENFORCE_PASS, "neither IPv4 nor IPv6 (ARP and the like)")                               \
	X(TOO_MANY_TAGS, too_many_tags, KUDO_ENFORCE_DROP, "more than four VLAN tags")                                 \
	X(TRUNCATED_LINK, truncated_link, KUDO_ENFORCE_DROP, "ends inside the Ethernet, VLAN or PPPoE header")         \
	X(TRUNCATED_IP, truncated_ip, KUDO_ENFORCE_DROP, "shorter than its IP header says")                            \
	X(BAD_IP, bad_ip, KUDO_ENFORCE_DROP, "an IP header with an impossible version or length")                      \
	X(TRUNCATED_EXTENSION, truncated_extension, KUDO_ENFORCE_DROP, "ends inside an IPv6 extension header")         \
	X(TOO_MANY_EXTENSIONS, too_many_extensions, KUDO_ENFORCE_DROP,                                                 \
	  "more than eight IPv6 extension headers, or 2048 bytes of them")                                             \
	X(TRUNCATED_TRANSPORT, truncated_transport, KUDO_ENFORCE_DROP, "ends inside its TCP or UDP header")            \
	X(BAD_TRANSPORT, bad_transport, KUDO_ENFORCE_DROP, "a TCP header with an impossible length")                   \
	X(ALLOWED, allowed, KUDO_ENFORCE_PASS, "an allow rule of the administrator admits it")                         \
	X(LIFELINE, lifeline, KUDO_ENFORCE_PASS, "a lifeline admits it: what a host needs to stay reachable")          \
	X(LINK_CONTROL, link_control, KUDO_ENFORCE_PASS,                                                               \
	  "802.1X, LACP, LLDP, spanning tree, PPP: it belongs to the link")                                            \
	X(UNSOLICITED, unsolicited, KUDO_ENFORCE_DROP,                                                                 \
	  "from a remote that is allowed, but this host has not spoken first, or it opens a connection")               \
	X(FRAGMENT_WITHOUT_FIRST, fragment_without_first, KUDO_ENFORCE_DROP,                                           \
	  "a later fragment, and no first one was admitted in the last 30 s")                                          \
	X(OVERLAPPING_FRAGMENT, overlapping_fragment, KUDO_ENFORCE_DROP, "a later fragment that overlaps the first")   \
	X(BAD_SOURCE, bad_source, KUDO_ENFORCE_DROP, "a source address that no packet can come from")                  \
	X(IP_OPTIONS, ip_options, KUDO_ENFORCE_DROP,                                                                   \
	  "IPv4 options, an IPv6 routing header, or an AH of an odd length")                                           \
	X(BAD_CHECKSUM, bad_checksum, KUDO_ENFORCE_DROP, "a wrong IPv4 header checksum")                               \
	X(ICMP_UNRELATED, icmp_unrelated, KUDO_ENFORCE_DROP, "an ICMP error about a packet that is not admitted")      \
	X(NOT_IP_DENIED, not_ip_denied, KUDO_ENFORCE_DROP, "neither IP nor of the link, and no rule admits it")        \
	X(ICMP_DENIED, icmp_denied, KUDO_ENFORCE_DROP,                                                                 \
	  "ICMP with a known range that is neither an error nor this host's echo")                                      \
	X(NAME, name, KUDO_ENFORCE_PASS, "DNS or TLS tells a name of the map for it, and a port of the map allows it")

enum kudo_reason {
#define KUDO_REASON_ENUM(NAME, name, enforcement, text) KUDO_REASON_##NAME,
	KUDO_REASONS(KUDO_REASON_ENUM)
#undef KUDO_REASON_ENUM
		KUDO_REASON_END
};

#endif /* KUDO_REASONS_H */
