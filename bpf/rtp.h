/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Audio or video? One media flow carries both (BUNDLE, RFC 9143), next to STUN and DTLS. What a datagram carries, and
 * what the packets of one SSRC are, seen from outside of the encryption (SRTP leaves RTP's header in clear, RFC 3711
 * section 3.1). No helpers, no maps, no clock.
 * Invariant: an SSRC is called audio or video only after several packets in sequence agree; until then it is unknown, and
 * treated as video. No packet that is itself evidence of video is treated as audio.
 *
 * What can be known. Each packet of audio is a frame of 2.5 to 120 ms: 80 to 960 ticks on a clock of 8 kHz, to 5760 on
 * one of 48 kHz. The parts of a picture share a timestamp, and the last of them has the marker (RFC 6184 section 5.1, RFC
 * 7741 section 4.1 and all other payload formats of video); audio has the marker where somebody begins to speak (RFC 3551
 * section 4.1). So:
 * - A step that no audio codec has is a picture's: all usual rates on video's clock of 90 kHz (1500, 3000, 3600, 6000,
 *   9000 ticks and their like, and whole milliseconds but for multiples of 16).
 * - A step of an audio frame from a packet without the marker is audio's: a picture is not over there.
 * - With the marker it is audio's up to 960 ticks, which would be 94 pictures a second. Longer ones with the marker may be
 *   pictures of one packet each, 16, 32, 48 or 64 ms apart (or 26.7 or 53.3): no evidence. So audio in frames of more than
 *   20 ms on a clock of 48 kHz whose every packet has the marker stays unknown, and is treated as video. No browser sends
 *   such; ffmpeg does. Nothing in these headers tells such audio from such video, but for the time between packets, which
 *   queues and retransmissions bend: it is not asked.
 * - Retransmissions (RTX, RFC 4588) repeat the timestamps and markers of another SSRC, under another payload type. Which
 *   packet one repeats is in the encrypted payload. Of pictures 32 ms apart the first parts alone would look like audio:
 *   an SSRC is not called audio for steps of more than 960 ticks while its timestamps are within seconds of a video's of
 *   the same flow (kudo_rtp_repeats()). By chance that holds for one in 10,000 pairs of streams.
 * - Packets with the P bit are probes of the bandwidth, which browsers send with the last timestamp on any SSRC: they are
 *   counted apart and are no evidence. How much of a packet is padding is in the encrypted payload.
 * So audio is known from its fourth packet with media on, or the fifth if it begins with a marker or an encoder's delay.
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
	__u8 marker;  /* 0 or 1 */
	__u8 padding; /* 0 or 1: the P bit */
	__u8 pad[3];
};
KUDO_ASSERT(sizeof(struct kudo_rtp_packet) == 24, "rtp packet");

#define KUDO_STUN_SEND_INDICATION 0x0016 /* RFC 8656 section 17 */
#define KUDO_STUN_DATA_INDICATION 0x0017
#define KUDO_STUN_DATA 0x0013 /* the attribute, RFC 8656 section 18.4 */
#define KUDO_CHANNEL_HEADER 4 /* RFC 8656 section 12.4: channel number, length */
#define KUDO_RTP_HEADER 12
/* What is further from the newest packet is of another sender, or of one that has restarted, if two in a row say so (RFC
 * 3550 appendix A.1). */
#define KUDO_RTP_RESTART 3000        /* ahead by sequence number */
#define KUDO_RTP_LATE 64             /* behind it; less is reordered */
#define KUDO_RTP_PAUSE (60 * 48000u) /* ahead by timestamp, behind a gap */

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

/* RTP or RTCP, from the header's words as they are on the wire. */
kudo_inline void kudo_take_rtp(__u32 first, __u32 second, __u32 third, __u32 length, struct kudo_rtp_packet *packet)
{
	__u32 header = kudo_swap32(first); /* V, P, X, CC; M, PT; sequence number */

	packet->content = (header >> 16 & 255) - 192 < 32 ? KUDO_CONTENT_RTCP : KUDO_CONTENT_RTP;
	packet->size = length;
	packet->padding = header >> 29 & 1;
	packet->marker = header >> 23 & 1;
	packet->payload_type = header >> 16 & 127;
	packet->sequence = (__u16)header;
	packet->timestamp = kudo_swap32(second);
	packet->ssrc = packet->content == KUDO_CONTENT_RTCP ? packet->timestamp : kudo_swap32(third);
}

/* The shape that nearly all media has, bare or in ChannelData, from the datagram's first 16 bytes. 0: only kudo_read_rtp()
 * can tell. */
kudo_inline int kudo_read_rtp_fast(const __u32 words[4], __u32 length, struct kudo_rtp_packet *packet)
{
	__u32 first = kudo_swap32(words[0]);

	if (first >> 30 == 2) { /* RTP's version */
		kudo_take_rtp(words[0], words[1], words[2], length, packet);
		return 1;
	}
	__u32 inner = first & 0xffff;
	if (first >> 28 == 4 && kudo_swap32(words[1]) >> 30 == 2 && inner >= KUDO_RTP_HEADER &&
	    inner + KUDO_CHANNEL_HEADER <= length) {
		kudo_take_rtp(words[1], words[2], words[3], inner, packet);
		return 1;
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
	__u32 content = kudo_content_of(inner, available - begin, length), words[3];

	if (content == KUDO_CONTENT_RTP || content == KUDO_CONTENT_RTCP) {
		__builtin_memcpy(words, inner, sizeof(words));
		kudo_take_rtp(words[0], words[1], words[2], length, packet);
	}
	packet->content = content;
}

/* A packet's evidence, by itself and the one before it in sequence. */
enum kudo_rtp_evidence {
	KUDO_RTP_NO_EVIDENCE = 0,
	KUDO_RTP_AUDIO_FRAME = 1,      /* its timestamp is one audio frame later */
	KUDO_RTP_SHARED_TIMESTAMP = 2, /* the same timestamp: parts of one picture */
	KUDO_RTP_VIDEO_FRAME = 3,      /* its timestamp is later by what no audio codec has */
	KUDO_RTP_REPEATED_VIDEO = 4,   /* it seemed audio, but repeats a video's timestamps: see kudo_rtp_repeats() */
};

/* Codecs' frames last 2.5 to 120 ms (RFC 6716 section 2.1.4 for Opus), mostly 20. In ticks of the clocks of 8, 16 and
 * 48 kHz: RFC 3551 table 4, RFC 7587 section 4.1. */
#define KUDO_RTP_MAX_FRAME 5760
/* Up to here no picture has such a step. But for 720, which is 8 ms by a clock of whole milliseconds. */
#define KUDO_RTP_SURE_FRAME 960
/* Several of these with one timestamp are telephone events (RFC 4733 section 2.3), not pictures. */
#define KUDO_RTP_SMALL 100

/* Is it a multiple of odd << shift? By the reciprocal: a division takes longer than all else that is asked of a packet.
 * Exact where number >> shift is below 2^31 / odd. */
kudo_inline int kudo_is_multiple(__u32 number, __u32 shift, __u32 odd)
{
	__u32 rest = number >> shift;

	return rest << shift == number && (__u32)((__u64)rest * ((1u << 31) / odd + 1) >> 31) * odd == rest;
}

kudo_inline int kudo_is_audio_frame(__u32 ticks)
{
	return ticks <= KUDO_RTP_MAX_FRAME &&
	       (kudo_is_multiple(ticks, 5, 15) /* of 480 */ ||
		(ticks <= KUDO_RTP_SURE_FRAME && kudo_is_multiple(ticks, 4, 5)) /* of 80 */ || ticks == 120);
}

/* Is an audio frame's step no picture's? */
kudo_inline int kudo_is_sure_frame(__u32 ticks)
{
	return ticks <= KUDO_RTP_SURE_FRAME && ticks != 720;
}

kudo_inline __u32 kudo_rtp_evidence_of(const struct kudo_rtp_stream *stream, const struct kudo_rtp_packet *packet)
{
	__u32 ticks = packet->timestamp - stream->timestamp;

	if (ticks == 0)
		return packet->size >= KUDO_RTP_SMALL ? KUDO_RTP_SHARED_TIMESTAMP : KUDO_RTP_NO_EVIDENCE;
	if (kudo_is_audio_frame(ticks) && (!(stream->flags & KUDO_RTP_MARKER) || kudo_is_sure_frame(ticks)))
		return KUDO_RTP_AUDIO_FRAME;
	/* After a pause (discontinuous transmission) audio goes on some whole frames later; before the first step an
	 * encoder may have left out its delay. */
	if (kudo_is_multiple(ticks, 5, 15) || (stream->flags & KUDO_RTP_FIRST) ||
	    (kudo_is_multiple(ticks, 5, 5) && (packet->size < KUDO_RTP_SMALL || stream->kind == KUDO_RTP_AUDIO)))
		return KUDO_RTP_NO_EVIDENCE;
	return KUDO_RTP_VIDEO_FRAME;
}

/* The score: evidence for audio adds one, for video takes two; who reaches the mark decides. Audio whose score is below 0
 * is unknown again. */
#define KUDO_RTP_AUDIO_SCORE 3
#define KUDO_RTP_VIDEO_SCORE (-4)
#define KUDO_RTP_MAX_SCORE 8
#define KUDO_RTP_MIN_SCORE (-8)

kudo_inline void kudo_rtp_add_evidence(struct kudo_rtp_stream *stream, __u32 evidence)
{
	int score = stream->score;

	if (evidence == KUDO_RTP_AUDIO_FRAME)
		score = score >= KUDO_RTP_MAX_SCORE ? KUDO_RTP_MAX_SCORE : score + 1;
	else
		score = score - 2 < KUDO_RTP_MIN_SCORE ? KUDO_RTP_MIN_SCORE : score - 2;
	stream->score = (__s8)score;
	if (score >= KUDO_RTP_AUDIO_SCORE && stream->kind != KUDO_RTP_AUDIO) {
		stream->kind = KUDO_RTP_AUDIO;
		stream->evidence = (__u8)evidence;
	} else if (score <= KUDO_RTP_VIDEO_SCORE && stream->kind != KUDO_RTP_VIDEO) {
		stream->kind = KUDO_RTP_VIDEO;
		stream->evidence = (__u8)evidence;
	} else if (score < 0 && stream->kind == KUDO_RTP_AUDIO) {
		stream->kind = KUDO_RTP_UNKNOWN;
	}
}

/* Does the packet, whose stream has just seemed audio, repeat the timestamps of this video? Retransmissions follow within
 * seconds. */
#define KUDO_RTP_REPEATED_BEFORE 270000 /* 3 s by a clock of 90 kHz */
#define KUDO_RTP_REPEATED_AFTER 90000

kudo_inline int kudo_rtp_repeats(const struct kudo_rtp_packet *packet, const struct kudo_rtp_stream *video)
{
	__u32 ahead = packet->timestamp - video->timestamp + KUDO_RTP_REPEATED_BEFORE;

	return video->kind == KUDO_RTP_VIDEO && ahead <= KUDO_RTP_REPEATED_BEFORE + KUDO_RTP_REPEATED_AFTER;
}

/* Must that be asked? Only of streams whose steps pictures have too. */
kudo_inline int kudo_rtp_may_repeat(const struct kudo_rtp_stream *stream)
{
	return !kudo_is_sure_frame((__u32)stream->step);
}

kudo_inline void kudo_rtp_call_repeated(struct kudo_rtp_stream *stream)
{
	stream->kind = KUDO_RTP_VIDEO;
	stream->evidence = KUDO_RTP_REPEATED_VIDEO;
	stream->score = KUDO_RTP_MIN_SCORE;
}

/* What is known of an SSRC by its first packet. `stream`: zeros. */
kudo_inline void kudo_begin_rtp(struct kudo_rtp_stream *stream, const struct kudo_rtp_packet *packet)
{
	stream->packets = !packet->padding;
	stream->probes = packet->padding;
	stream->timestamp = packet->timestamp;
	stream->sequence = packet->sequence;
	stream->largest = (__u16)(packet->size * !packet->padding);
	stream->payload_type = packet->payload_type;
	stream->flags = KUDO_RTP_FIRST | ((packet->marker | packet->padding) * KUDO_RTP_MARKER);
}

/* Adds a later packet to what is known of its SSRC. 1: the packet may be treated as what the stream is; 0: it is evidence
 * against audio, not of this stream, or a probe, which nobody hears. */
kudo_inline int kudo_observe_rtp(struct kudo_rtp_stream *stream, const struct kudo_rtp_packet *packet)
{
	__s16 ahead = (__s16)(packet->sequence - stream->sequence);
	__u32 evidence = KUDO_RTP_NO_EVIDENCE, flags = stream->flags;

	if (packet->padding) {
		stream->probes++;
	} else {
		stream->packets++;
		if (packet->size > stream->largest)
			stream->largest = (__u16)packet->size;
		/* Comfort noise, a telephone event, another codec: audio stays audio as long as nothing says otherwise. */
		if (packet->payload_type != stream->payload_type && stream->kind == KUDO_RTP_AUDIO)
			stream->score = 0;
		stream->payload_type = packet->payload_type;
	}
	if (ahead > KUDO_RTP_RESTART || ahead < -KUDO_RTP_LATE ||
	    (ahead > 1 && packet->timestamp - stream->timestamp > KUDO_RTP_PAUSE)) {
		__u16 follows = (flags & KUDO_RTP_RESTARTING) && packet->sequence == stream->restart;

		stream->restart = packet->sequence + 1;
		stream->flags = (__u8)(flags | KUDO_RTP_RESTARTING);
		if (!follows)
			return 0;
		/* Two in a row: from here on it is another, or a video whose lost packets are sent again. */
		if (stream->kind == KUDO_RTP_AUDIO)
			stream->kind = KUDO_RTP_UNKNOWN;
		if (stream->score > 0)
			stream->score = 0;
		flags = KUDO_RTP_FIRST;
		ahead = 2;
	} else {
		flags &= ~KUDO_RTP_RESTARTING;
		if (ahead <= 0) { /* an older packet does not turn the clock back */
			stream->flags = (__u8)flags;
			return !packet->padding;
		}
		if (ahead == 1 && !packet->padding) {
			evidence = kudo_rtp_evidence_of(stream, packet);
			flags &= ~KUDO_RTP_FIRST;
		}
	}
	__u32 ticks = packet->timestamp - stream->timestamp;

	stream->sequence = packet->sequence;
	/* A probe says nothing; behind a gap it hides whether a picture ended there. */
	if (!packet->padding || ahead != 1) {
		flags = (flags & ~KUDO_RTP_MARKER) | ((packet->marker | packet->padding) * KUDO_RTP_MARKER);
		stream->timestamp = packet->timestamp;
	}
	stream->flags = (__u8)flags;
	if (evidence != KUDO_RTP_NO_EVIDENCE) {
		if (evidence != KUDO_RTP_SHARED_TIMESTAMP)
			stream->step = (__s32)ticks;
		kudo_rtp_add_evidence(stream, evidence);
	}
	return evidence < KUDO_RTP_SHARED_TIMESTAMP && !packet->padding;
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
