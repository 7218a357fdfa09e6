/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What a STUN message is, by its header alone (RFC 8489 section 5). No helpers, no maps, no clock.
 * Invariant: reads KUDO_STUN_HEADER bytes at most; only what has the cookie and a possible length is a message. */
#ifndef KUDO_STUN_H
#define KUDO_STUN_H

#include "wire.h"

#define KUDO_STUN_PORT 3478 /* RFC 8489 section 18.6; over UDP, TURN's too */
#define KUDO_STUN_COOKIE 0x2112a442u
#define KUDO_STUN_HEADER 20       /* type, length of what follows, cookie, transaction */
#define KUDO_STUN_TRANSACTION 8   /* where the transaction's 96 bits begin */
#define KUDO_STUN_CLASS 0x0110    /* the two bits of the type that are the class, RFC 8489 figure 3 */
#define KUDO_STUN_RESERVED 0xc000 /* the two bits that are zero */

enum kudo_stun_kind {
	KUDO_STUN_NONE = 0,
	KUDO_STUN_REQUEST = 1,
	KUDO_STUN_INDICATION = 2,
	KUDO_STUN_RESPONSE = 3, /* success or error: both say that a server is there */
};

/* `bytes`: a datagram's payload, which is `length` long; the header of it can be read, if it has one. */
kudo_inline __u32 kudo_stun_kind_of(const __u8 *bytes, __u32 length)
{
	if (length < KUDO_STUN_HEADER)
		return KUDO_STUN_NONE;
	__u16 type = kudo_load16(bytes), attributes = kudo_load16(bytes + 2);
	if ((type & KUDO_STUN_RESERVED) || (attributes & 3) || attributes > length - KUDO_STUN_HEADER ||
	    kudo_load32(bytes + 4) != KUDO_STUN_COOKIE)
		return KUDO_STUN_NONE;
	switch (type & KUDO_STUN_CLASS) {
	case 0x0000:
		return KUDO_STUN_REQUEST;
	case 0x0010:
		return KUDO_STUN_INDICATION;
	default:
		return KUDO_STUN_RESPONSE;
	}
}

#endif /* KUDO_STUN_H */
