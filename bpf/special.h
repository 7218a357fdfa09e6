/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Addresses that no public service has: what IANA's registries of special-purpose addresses (RFC 6890, as of 2026) do not
 * call globally reachable, and multicast. A pure function.
 * Invariant: whatever a name resolves to, none of these becomes KUDO's: RFC 1918's are some other host's here. */
#ifndef KUDO_SPECIAL_H
#define KUDO_SPECIAL_H

#include "wire.h"

/* Are the first `length` bits of `address`, at most 31, those of `prefix`? 0 or 1, without a branch, of which the ones below
 * would be dozens of paths for a verifier. */
kudo_inline __u32 kudo_begins_with(__u32 address, __u32 prefix, __u32 length)
{
	__u32 difference = ((address ^ prefix) >> (32 - length)) - 1;

	kudo_opaque(difference); /* clang would turn it back into a branch */
	return difference >> 31;
}

/* `address`: in host order. */
kudo_inline __u32 kudo_is_special4(__u32 address)
{
	return kudo_begins_with(address, 0x00000000, 8) |  /* this network, RFC 791 */
	       kudo_begins_with(address, 0x0a000000, 8) |  /* private, RFC 1918 */
	       kudo_begins_with(address, 0x64400000, 10) | /* shared, RFC 6598 */
	       kudo_begins_with(address, 0x7f000000, 8) |  /* loopback */
	       kudo_begins_with(address, 0xa9fe0000, 16) | /* link local, RFC 3927 */
	       kudo_begins_with(address, 0xac100000, 12) | /* private */
	       kudo_begins_with(address, 0xc0000000, 24) | /* IETF protocols, RFC 6890 */
	       kudo_begins_with(address, 0xc0000200, 24) | /* documentation, RFC 5737 */
	       kudo_begins_with(address, 0xc0586300, 24) | /* 6to4 relays, RFC 7526 */
	       kudo_begins_with(address, 0xc0a80000, 16) | /* private */
	       kudo_begins_with(address, 0xc6120000, 15) | /* benchmarks, RFC 2544 */
	       kudo_begins_with(address, 0xc6336400, 24) | /* documentation */
	       kudo_begins_with(address, 0xcb007100, 24) | /* documentation */
	       kudo_begins_with(address, 0xe0000000, 3);   /* multicast, reserved, broadcast */
}

/* `words`: in network order. An address of NAT64's well-known prefix (RFC 6052) is what the IPv4 address in it is. */
kudo_inline __u32 kudo_is_special6(const __be32 *words)
{
	__u32 first = kudo_swap32(words[0]), second = kudo_swap32(words[1]);

	if (first == 0x0064ff9b && second == 0 && words[2] == 0)
		return kudo_is_special4(kudo_swap32(words[3]));
	return (kudo_begins_with(first, 0x20000000, 3) ^ 1) | /* not global unicast, RFC 4291 */
	       kudo_begins_with(first, 0x20010000, 23) |      /* IETF protocols, Teredo, ORCHID */
	       (first == 0x20010db8) |                        /* documentation, RFC 3849 */
	       kudo_begins_with(first, 0x20020000, 16) |      /* 6to4, RFC 3056 */
	       kudo_begins_with(first, 0x3fff0000, 20);       /* documentation, RFC 9637 */
}

#endif /* KUDO_SPECIAL_H */
