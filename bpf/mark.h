/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* How an outgoing packet is marked, and how its header changes. No helpers, no maps.
 * Invariant: ECN is never touched; a higher mark set by the application stays; a valid IPv4 checksum stays valid, an
 * invalid one invalid. */
#ifndef KUDO_MARK_H
#define KUDO_MARK_H

#include "abi.h"
#include "parse.h"

#define KUDO_ECN_BITS 3

/* The DS field (RFC 2474 section 3, RFC 3168 section 5) after marking. Higher is decided by the upper three bits of the
 * DSCP, the class selector precedence of RFC 2474 section 4.2.2: an equal one, such as AF42 where we would set AF41, is
 * the application's own choice within the class and stays too. */
kudo_inline __u8 kudo_marked_dsfield(__u8 dsfield, struct kudo_mark mark)
{
	if (!(mark.flags & KUDO_MARK_DSCP) || dsfield >> 5 >= mark.dscp >> 3)
		return dsfield;
	return (__u8)(mark.dscp << 2 | (dsfield & KUDO_ECN_BITS));
}

#define KUDO_MIN_CLASS_ID 0x10000u

/* skb->priority after marking. `queues`: what this interface's queue wants to see, see struct kudo_interface; 0: no
 * more than the mark says. What the application has set stays if it is higher; a class id of the queue in front of us
 * is not to be compared with it, and replaces it. */
kudo_inline __u32 kudo_marked_priority(__u32 priority, struct kudo_mark mark, __u32 queues)
{
	__u32 wanted = queues ? queues : mark.priority;

	if (!(mark.flags & KUDO_MARK_PRIORITY))
		return priority;
	return wanted >= KUDO_MIN_CLASS_ID || priority < wanted ? wanted : priority;
}

kudo_inline int kudo_is_user_priority(__u32 queues)
{
	return queues - KUDO_USER_PRIORITY < KUDO_USER_PRIORITIES;
}

/* RFC 1624 equation 3: the header checksum after one 16-bit word changed. All in network order. */
kudo_inline __be16 kudo_updated_checksum(__be16 checksum, __be16 old_word, __be16 new_word)
{
	__u32 sum = (__u32)(__u16)~checksum + (__u16)~old_word + new_word;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__be16)~sum;
}

#endif /* KUDO_MARK_H */
