/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Names, as the kernel's programs and the agent share them: the policy's domains, this host's DNS queries for names under
 * them, the responses, the addresses that the programs have learned from those, and TLS's server names. Included by abi.h, whose rules hold
 * here as well.
 * Addresses and ports are as in the flow keys: network order, host order. */
#ifndef KUDO_NAMES_H
#define KUDO_NAMES_H

#include <linux/types.h>

/* A bitmap in which a clear bit says that a name certainly ends in no domain of the policy's services. See dns.h. */
#define KUDO_DOMAIN_BLOOM_BITS 4096
#define KUDO_DOMAIN_BLOOM_WORDS (KUDO_DOMAIN_BLOOM_BITS / 64)

/* The policy's domains, in buckets of a hash: see domains.h. The validator refuses what would exceed this. */
#define KUDO_MAX_DOMAINS 256
#define KUDO_DOMAIN_BUCKETS 256
#define KUDO_DOMAIN_WAYS 4
#define KUDO_DOMAIN_LABELS 8   /* of one domain: "*.tokbox.com" has two */
#define KUDO_DOMAIN_SERVICES 4 /* services that have the domain, or one that covers it */

/* A domain as the range map writes it: a name, or what is below one ("*."). The hash only finds it: anybody can make names
 * of any hash, so the name itself is compared. */
#define KUDO_DOMAIN_BYTES 64
struct kudo_domain {
	__u64 key;                          /* kudo_domain_key(); 0: empty */
	__u8 services[KUDO_DOMAIN_SERVICES]; /* slots, of the most specific domain first; 0 ends the list */
	__u8 pad[4];
	__u8 name[KUDO_DOMAIN_BYTES]; /* without "*.", as RFC 1035 section 3.1 writes it: with the zero that ends it */
};

/* An address that a response gave for a name under a domain. The services are asked of the current policy. */
#define KUDO_LEARNED_NAMES 4 /* of one address */
struct kudo_learned_name {
	__u64 domain; /* kudo_domain.key; 0: none */
	__u64 query;  /* the query's hash: the key of its response */
	__u64 until;  /* ns of CLOCK_BOOTTIME */
};
struct kudo_learned {
	struct kudo_learned_name names[KUDO_LEARNED_NAMES];
};
#define KUDO_LEARNED4 16384 /* addresses at once; the least recently used go */
#define KUDO_LEARNED6 4096

/* How long an address is the name's: its TTL, RFC 2181 section 8 (the highest bit set: 0), within these. In seconds. */
#define KUDO_LEARNED_LEAST 300
#define KUDO_LEARNED_MOST 86400

/* In front of both tables, a byte by a hash of the address: 0 says that no response and no ClientHello has ever made it a
 * name's. A program sets them, and none is cleared while the tables live. */
#define KUDO_LEARNED_FILTER 65536

/* kudo_judgement.prefix_length of what was judged by a name and not by a range. */
#define KUDO_BY_DNS_NAME 255
#define KUDO_BY_TLS_NAME 254 /* of the connection alone: never while packets are put to the rules of admission */

/* A DNS query of this host for a name that may be one of the policy's. A response must repeat the identifier and come
 * from that server to that port. */
struct kudo_query_key {
	__u8 server[16]; /* IPv4: the first 4 bytes */
	__u32 family;    /* 4 or 6 */
	__u16 local_port;
	__u16 id; /* host order, as the port */
};
struct kudo_query {
	__u64 hash;      /* of the name in lower case and the type */
	__u64 domain;    /* kudo_domain.key of the most specific one that it is under; 0: none */
	__u64 sent;      /* CLOCK_MONOTONIC, in ns */
	__u32 interface; /* ifindex where it went out */
	__u32 pad;
};
#define KUDO_QUERY_LIFETIME 10000000000ull /* ns for which it is waited for: longer than resolvers do */
#define KUDO_QUERY_LIFETIME_TICKS 12000    /* jiffies that are at least as long, with up to 1000 a second */

/* The last response to such a query that had any records; the key is the query's hash. Longer ones are not kept. */
#define KUDO_RESPONSE_BYTES 1232 /* what DNS keeps to over UDP: www.dnsflagday.net/2020 */
struct kudo_response {
	__u64 received;  /* jiffies64 */
	__u32 interface; /* of the query */
	__u32 length;    /* of the message */
	__u8 server[16]; /* IPv4: the first 4 bytes */
	__u32 family;    /* 4 or 6 */
	__u32 pad;
	__u8 message[KUDO_RESPONSE_BYTES];
};

/* What became of a datagram from UDP port 53 that was looked at because it may answer a query for a name under the policy's
 * domains. X(NAME, name, what a person reads); a message counts once, but for the last three, which count records. */
#define KUDO_DNS_OUTCOMES(X)                                                                                           \
	X(LEARNED, learned, "responses whose addresses were learned")                                                  \
	X(NO_ADDRESS, no_address, "responses without an address of the queried type, or of a name under no domain")    \
	X(UNSOLICITED, unsolicited, "messages about a name of the range map that answer no query of this host")         \
	X(LATE, late, "responses to a query of more than 10 s ago")                                                    \
	X(WRONG_NAME, wrong_name, "messages that answer a query by its identifier, but for another name or type")       \
	X(TRUNCATED, truncated, "responses that end inside a record")                                                  \
	X(BAD_NAME, bad_name, "responses with an impossible name: a pointer forward or to itself, too long")            \
	X(LONG_CHAIN, long_chain, "responses with more than 16 aliases, 80 records, or 1024 labels in all")       \
	X(TOO_LARGE, too_large, "responses of more than 1232 bytes")                                                   \
	X(UNRELATED, unrelated, "records of names that were not asked for")                                            \
	X(SPECIAL, special, "addresses that no service can have: private, special, the one that the response came to")                    \
	X(ENTERED, entered, "addresses that no name had before")

enum kudo_dns_outcome {
#define KUDO_DNS_OUTCOME_ENUM(NAME, name, text) KUDO_ANSWER_##NAME,
	KUDO_DNS_OUTCOMES(KUDO_DNS_OUTCOME_ENUM)
#undef KUDO_DNS_OUTCOME_ENUM
		KUDO_ANSWER_END
};
#define KUDO_MAX_DNS_OUTCOMES 16

/* Connections that this host has opened to a port on which names are read, each in one word, which is stored and loaded at
 * once: 32 bits of the flow's hash, and the sequence number of the first byte that it will send. Its first bits are the
 * place, where the next one with the same replaces it. */
#define KUDO_OPENINGS 4096

/* A ClientHello of this host that is not whole yet: its first bytes. The key is the flow's. */
#define KUDO_HELLO_BYTES 4096 /* a post-quantum one of a browser has some 1,800 */
struct kudo_hello {
	__u32 length;
	__u32 next; /* the sequence number of the next byte */
	__u8 bytes[KUDO_HELLO_BYTES];
};
#define KUDO_OPENING_LIFETIME_TICKS 10000 /* jiffies, 10 s or more, for which a connection's first byte is waited for */
#define KUDO_HELLO_LIFETIME_TICKS 3000    /* 3 s or more, for which the rest of a ClientHello is */

/* How this host's connections to strangers begin that DNS shows nothing of, while no packets are put to the rules of
 * admission. X(NAME, name, what a person reads); what is sent again counts again; each under the first that fits. */
#define KUDO_TLS_OUTCOMES(X)                                                                                           \
	X(NAMED, named, "ClientHellos that made their connection KUDO's")                  \
	X(DOH, doh, "ClientHellos and first QUIC packets to public DNS resolvers: DNS over HTTPS")                                \
	X(DOT, dot, "first packets to port 853: DNS over TLS or QUIC")                                                   \
	X(OTHER, other, "ClientHellos with another name")                                                             \
	X(ECH, ech, "ClientHellos with another name and an encrypted one inside: the true name may be another")    \
	X(NO_NAME, no_name, "ClientHellos without a server name")                                                   \
	X(UNREADABLE, unreadable, "ClientHellos that are malformed, in several records, or longer than 4096 bytes")    \
	X(QUIC, quic, "first packets of QUIC connections, to UDP port 443")

enum kudo_tls_outcome {
#define KUDO_TLS_OUTCOME_ENUM(NAME, name, text) KUDO_TLS_##NAME,
	KUDO_TLS_OUTCOMES(KUDO_TLS_OUTCOME_ENUM)
#undef KUDO_TLS_OUTCOME_ENUM
		KUDO_TLS_END
};
#define KUDO_MAX_TLS_OUTCOMES 16

#endif /* KUDO_NAMES_H */
