/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Audio or video? One media flow carries both (BUNDLE, RFC 9143), next to STUN and DTLS. What a datagram carries, and
 * what the packets of one SSRC are, seen from outside of the encryption (SRTP leaves RTP's header in clear, RFC 3711
 * section 3.1). No helpers, no maps, no clock.
 * Invariant: an SSRC is called audio or video only after several packets in sequence agree; until then it is unknown.
 */
#ifndef KUDO_RTP_H
#define KUDO_RTP_H

#include "abi.h"
#include "parse.h"
#include "stun.h"

/* How much of a datagram's payload is read: an RTP header behind a STUN indication with an IPv6 peer address and
 * two small attributes. */
#define KUDO_RTP_WINDOW 96

/* What a datagram carries, told by its first byte (RFC 7983 section 7), inside of TURN too. */
enum kudo_content {
	KUDO_CONTENT_UNKNOWN = 0,
	KUDO_CONTENT_STUN = 1,
	KUDO_CONTENT_DTLS = 2,
	KUDO_CONTENT_RTP = 3,
	KUDO_CONTENT_RTCP = 4,
};

struct kudo_rtp_packet {
	__u32 content;   /* enum kudo_content; the rest is RTP's, and of RTCP the SSRC of its sender */
	__u32 ssrc;      /* host order */
	__u32 timestamp; /* in units of the payload's clock, RFC 3550 section 5.1 */
	__u32 size;      /* bytes of the RTP packet, its header included */
	__u16 sequence;
	__u8 payload_type;
};

#define KUDO_STUN_SEND_INDICATION 0x0016 /* RFC 8656 section 17 */
#define KUDO_STUN_DATA_INDICATION 0x0017
#define KUDO_STUN_DATA 0x0013 /* the attribute, RFC 8656 section 18.4 */
#define KUDO_CHANNEL_HEADER 4 /* RFC 8656 section 12.4: channel number, length */
#define KUDO_RTP_HEADER 12
#define KUDO_RTP_RESTART 3000 /* so many back: the sender has restarted */

/* What begins at `bytes`, of which `available` can be read and which is `length` long. */
kudo_inline __u32 kudo_content_of(const __u8 *bytes, __u32 available, __u32 length)
{
	if (available < KUDO_RTP_HEADER)
		return KUDO_CONTENT_UNKNOWN;
	__u8 first = bytes[0];
	if (first >> 6 == 2) /* 128 to 191: RTP's version 2 */
		return bytes[1] >= 192 && bytes[1] <= 223 ? KUDO_CONTENT_RTCP : KUDO_CONTENT_RTP;
	if (first <= 3 && length >= KUDO_STUN_HEADER && kudo_load32(bytes + 4) == KUDO_STUN_COOKIE)
		return KUDO_CONTENT_STUN;
	/* DTLS's handshake: 1.0 and 1.2 name the content and their version (RFC 6347 section 4.1), 1.3 names the epoch,
	 * of which 2 is the handshake's (RFC 9147 section 4). Not the data of an application, which may be a file. */
	if ((first >= 20 && first <= 22 && bytes[1] == 254) || (first >= 32 && first < 64 && (first & 3) == 2))
		return KUDO_CONTENT_DTLS;
	return KUDO_CONTENT_UNKNOWN;
}

/* Is it a Send or Data indication? */
kudo_inline int kudo_is_indication(const __u8 *bytes)
{
	__u16 type = kudo_load16(bytes);

	return type == KUDO_STUN_SEND_INDICATION || type == KUDO_STUN_DATA_INDICATION;
}

/* Where the data of an indication begins; 0: it has none, or it is not available. */
kudo_inline __u32 kudo_indication_data(const __u8 *bytes, __u32 available, __u32 *length)
{
	__u32 offset = KUDO_STUN_HEADER;

	for (int i = 0; i < 4; i++) {
		kudo_opaque(offset); /* so that what is compared is what is read with */
		if (offset > KUDO_RTP_WINDOW - 4 || offset + 4 > available)
			return 0;
		kudo_opaque(offset);
		offset &= 127; /* changes nothing: verifiers before 6.8 lose what was compared with a copy */
		__u32 size = kudo_load16(bytes + offset + 2);
		if (kudo_load16(bytes + offset) == KUDO_STUN_DATA) {
			if (offset + 4 + size > *length)
				return 0;
			*length = size;
			return offset + 4;
		}
		offset += 4 + ((size + 3) & ~3u);
	}
	return 0;
}

/* `bytes`: KUDO_RTP_WINDOW bytes of memory, of which the first `available` are the beginning of a datagram's payload,
 * which is `length` long. */
kudo_inline void kudo_read_rtp(const __u8 *bytes, __u32 available, __u32 length, struct kudo_rtp_packet *packet)
{
	__u32 begin = 0;

	packet->content = KUDO_CONTENT_UNKNOWN;
	if (available > KUDO_RTP_WINDOW)
		available = KUDO_RTP_WINDOW;
	if (available < KUDO_RTP_HEADER || available > length)
		return;
	if (bytes[0] >> 4 == 4) { /* ChannelData; padding behind it is optional over UDP, so its length counts */
		begin = KUDO_CHANNEL_HEADER;
		__u32 inner = kudo_load16(bytes + 2);
		if (inner + KUDO_CHANNEL_HEADER > length)
			return;
		length = inner;
	} else if (kudo_content_of(bytes, available, length) == KUDO_CONTENT_STUN) {
		if (!kudo_is_indication(bytes)) {
			packet->content = KUDO_CONTENT_STUN;
			return;
		}
		begin = kudo_indication_data(bytes, available, &length);
		if (begin == 0)
			return;
	}
	kudo_opaque(begin);
	if (begin > KUDO_RTP_WINDOW - KUDO_RTP_HEADER || begin + KUDO_RTP_HEADER > available ||
	    length < KUDO_RTP_HEADER)
		return;
	const __u8 *inner = bytes + begin;
	packet->content = kudo_content_of(inner, available - begin, length);
	packet->size = length;
	packet->payload_type = inner[1] & 0x7f;
	packet->sequence = kudo_load16(inner + 2);
	packet->timestamp = kudo_load32(inner + 4);
	packet->ssrc = kudo_load32(packet->content == KUDO_CONTENT_RTCP ? inner + 4 : inner + 8);
}

/* A packet's evidence, by itself and the one before it in sequence. */
enum kudo_rtp_evidence {
	KUDO_RTP_NO_EVIDENCE = 0,
	KUDO_RTP_AUDIO_FRAME = 1,      /* its timestamp is one audio frame later */
	KUDO_RTP_SHARED_TIMESTAMP = 2, /* the same timestamp: parts of one picture */
	KUDO_RTP_VIDEO_FRAME = 3,      /* its timestamp is later by what no audio codec has */
};

/* Codecs' frames last 2.5 to 120 ms (RFC 6716 section 2.1.4 for Opus), mostly 20. In ticks of the clocks of 8, 16 and
 * 48 kHz (RFC 3551 table 4, RFC 7587 section 4.1). Pictures come 5 to 60 times a second by a clock of 90 kHz: steps of
 * 1500, 3000, 3600, 6000, 9000 and their like, none of which is here. */
#define KUDO_RTP_MAX_FRAME 5760
/* Larger than audio gets, but for music above 400 kbit/s; smaller than a part of a picture. */
#define KUDO_RTP_LARGE 1000
/* Pictures whose clock counts whole milliseconds may come a multiple of 1440 ticks apart (16, 32, 48 or 64 ms at 90
 * kHz): voice of 60 or 120 ms, which has such a step too, is smaller than this. */
#define KUDO_RTP_VOICE 400
/* Several of these with one timestamp are telephone events (RFC 4733 section 2.3), not pictures. */
#define KUDO_RTP_SMALL 100

kudo_inline int kudo_is_audio_frame(__u32 ticks)
{
	return ticks <= KUDO_RTP_MAX_FRAME && (ticks % 480 == 0 || ticks == 80 || ticks == 120 || ticks == 160 ||
						   ticks == 240 || ticks == 320 || ticks == 640);
}

kudo_inline __u32 kudo_rtp_evidence_of(const struct kudo_rtp_stream *stream, const struct kudo_rtp_packet *packet)
{
	__u32 ticks = packet->timestamp - stream->timestamp;

	if (stream->packets == 0 || packet->sequence != (__u16)(stream->sequence + 1))
		return KUDO_RTP_NO_EVIDENCE;
	if (ticks == 0)
		return packet->size >= KUDO_RTP_SMALL ? KUDO_RTP_SHARED_TIMESTAMP : KUDO_RTP_NO_EVIDENCE;
	if (kudo_is_audio_frame(ticks)) {
		if (packet->size >= KUDO_RTP_LARGE)
			return KUDO_RTP_VIDEO_FRAME;
		return ticks % 1440 == 0 && packet->size > KUDO_RTP_VOICE ? KUDO_RTP_NO_EVIDENCE : KUDO_RTP_AUDIO_FRAME;
	}
	/* After a pause (discontinuous transmission) audio goes on some whole frames later. */
	if (ticks % 480 == 0 || (ticks % 160 == 0 && (packet->size < KUDO_RTP_SMALL || stream->kind == KUDO_RTP_AUDIO)))
		return KUDO_RTP_NO_EVIDENCE;
	return KUDO_RTP_VIDEO_FRAME;
}

/* The score: evidence for audio adds one, for video takes two; who reaches the mark decides until the other does.
 */
#define KUDO_RTP_AUDIO_SCORE 4
#define KUDO_RTP_VIDEO_SCORE (-4)
#define KUDO_RTP_MAX_SCORE 8
#define KUDO_RTP_MIN_SCORE (-8)

/* Adds a packet to what is known of its SSRC. */
kudo_inline void kudo_observe_rtp(struct kudo_rtp_stream *stream, const struct kudo_rtp_packet *packet)
{
	__u32 evidence = kudo_rtp_evidence_of(stream, packet);
	int score = stream->score;

	if (evidence == KUDO_RTP_AUDIO_FRAME && score < KUDO_RTP_MAX_SCORE)
		score++;
	if (evidence >= KUDO_RTP_SHARED_TIMESTAMP)
		score = score - 2 < KUDO_RTP_MIN_SCORE ? KUDO_RTP_MIN_SCORE : score - 2;
	stream->score = (__s8)score;
	if (score >= KUDO_RTP_AUDIO_SCORE && stream->kind != KUDO_RTP_AUDIO) {
		stream->kind = KUDO_RTP_AUDIO;
		stream->evidence = (__u8)evidence;
	} else if (score <= KUDO_RTP_VIDEO_SCORE && stream->kind != KUDO_RTP_VIDEO) {
		stream->kind = KUDO_RTP_VIDEO;
		stream->evidence = (__u8)evidence;
	}
	/* An older packet that comes late does not turn the clock back. */
	if (stream->packets == 0 || (__s16)(packet->sequence - stream->sequence) > 0 ||
	    (__s16)(packet->sequence - stream->sequence) < -KUDO_RTP_RESTART) {
		if (evidence != KUDO_RTP_NO_EVIDENCE && packet->timestamp != stream->timestamp)
			stream->step = packet->timestamp - stream->timestamp;
		stream->sequence = packet->sequence;
		stream->timestamp = packet->timestamp;
	}
	stream->packets++;
	if (packet->size > stream->largest)
		stream->largest = (__u16)packet->size;
	stream->payload_type = packet->payload_type;
}

/* How a media datagram is treated. `stream`: what is known of its SSRC; null: nothing. STUN keeps the path open and
 * DTLS makes the keys: without them there is no voice either. */
kudo_inline __u32 kudo_media_treatment(__u32 content, const struct kudo_rtp_stream *stream)
{
	if (content == KUDO_CONTENT_STUN || content == KUDO_CONTENT_DTLS)
		return KUDO_TREATMENT_AUDIO;
	return stream && stream->kind == KUDO_RTP_AUDIO ? KUDO_TREATMENT_AUDIO : KUDO_TREATMENT_VIDEO;
}

#endif /* KUDO_RTP_H */
