"""What a frame is: its link's headers, IPv4 (RFC 791), IPv6 (RFC 8200), and where TCP, UDP and ICMP begin.

Limits, and the names of what is wrong, are those that kudo-agent documents: four VLAN tags, eight extension headers
that end within 2048 bytes of the frame.
"""
TAGS = (0x8100, 0x88A8, 0x9100)
EXTENSIONS = (0, 43, 44, 51, 60, 135, 139, 140)
MAX_TAGS, MAX_EXTENSIONS, MAX_EXTENSION_BYTES = 4, 8, 2048
TCP, UDP = 6, 17


class Parsed:
    """reason: why it could not be parsed, or None.
    family: 4, 6; 0: no IP packet: then `ethertype` (None: it has none), `ppp` and `body`, all behind the link's headers.
    body: behind the IP header and its extension headers, to the end of the IP packet.
    fragment_is_aligned: its header lies where RFC 8200 section 4 has it, at a multiple of 8 bytes.
    fragment_offset: in bytes. fragment_begin, end: where the fragmentable part and the packet end, in the frame.
    """
    __slots__ = ("reason", "family", "ethertype", "ppp", "body", "source", "destination", "protocol", "source_port",
                 "destination_port", "opens", "fragment_offset", "more_fragments", "fragment_begin", "end",
                 "identification", "has_options", "hop_limit", "checksum_is_right", "is_gso",
                 "fragment_is_aligned")

    def __init__(self, reason=None):
        self.reason, self.family, self.ethertype, self.ppp, self.body = reason, 0, None, None, b""
        self.source_port = self.destination_port = self.fragment_offset = 0
        self.opens = self.more_fragments = self.has_options = False
        self.identification = None
        self.checksum_is_right = self.fragment_is_aligned = True


def number(frame, offset):
    return frame[offset] << 8 | frame[offset + 1]


def parse(frame, bare=False, gso=False):
    """bare: the IP header comes first, as on tun. gso: a GSO packet, whose IP header may say length 0 (BIG TCP)."""
    if bare:
        if not frame:
            return Parsed("truncated_ip")
        version = frame[0] >> 4
        if version == 4:
            return parse4(frame, 0, gso)
        return parse6(frame, 0, gso) if version == 6 else Parsed()
    if len(frame) < 14:
        return Parsed("truncated_link")
    type_, offset, tags = number(frame, 12), 14, 0
    while type_ in TAGS:
        tags += 1
        if tags > MAX_TAGS:
            return Parsed("too_many_tags")
        if len(frame) < offset + 4:
            return Parsed("truncated_link")
        type_ = number(frame, offset + 2)
        offset += 4
    parsed = Parsed()
    if type_ == 0x8864:  # RFC 2516 section 4: version 1, type 1, code 0 is session data; PPP's protocol behind it
        if len(frame) < offset + 8:
            return Parsed("truncated_link")
        if frame[offset] == 0x11 and frame[offset + 1] == 0:
            parsed.ppp = number(frame, offset + 6)
            type_ = {0x0021: 0x0800, 0x0057: 0x86DD}.get(parsed.ppp)
        else:
            type_ = None
        offset += 8
    if type_ == 0x0800:
        return parse4(frame, offset, gso)
    if type_ == 0x86DD:
        return parse6(frame, offset, gso)
    parsed.ethertype, parsed.body = type_, frame[offset:]
    return parsed


def parse4(frame, offset, gso):
    if len(frame) < offset + 20:
        return Parsed("truncated_ip")
    header, total = (frame[offset] & 15) * 4, number(frame, offset + 2)
    if gso and total == 0:
        total = len(frame) - offset
    if frame[offset] >> 4 != 4 or header < 20 or total < header:
        return Parsed("bad_ip")
    if offset + total > len(frame):
        return Parsed("truncated_ip")
    parsed = Parsed()
    parsed.family, parsed.is_gso = 4, gso
    parsed.protocol, parsed.hop_limit = frame[offset + 9], frame[offset + 8]
    parsed.source, parsed.destination = frame[offset + 12:offset + 16], frame[offset + 16:offset + 20]
    fragment = number(frame, offset + 6)
    parsed.fragment_offset, parsed.more_fragments = (fragment & 0x1FFF) * 8, fragment & 0x2000 != 0
    parsed.identification = frame[offset + 4:offset + 6]
    parsed.has_options = header > 20
    sum_ = sum(number(frame, at) for at in range(offset, offset + header, 2))
    while sum_ > 0xFFFF:
        sum_ = (sum_ & 0xFFFF) + (sum_ >> 16)
    parsed.checksum_is_right = sum_ == 0xFFFF
    parsed.fragment_begin, parsed.end = offset + header, offset + total
    return parse_transport(frame, offset + header, parsed)


def parse6(frame, offset, gso):
    if len(frame) < offset + 40:
        return Parsed("truncated_ip")
    if frame[offset] >> 4 != 6:
        return Parsed("bad_ip")
    end = offset + 40 + number(frame, offset + 4)
    if gso and end == offset + 40:
        end = len(frame)
    if end > len(frame):
        return Parsed("truncated_ip")
    parsed = Parsed()
    parsed.family, parsed.is_gso, parsed.end = 6, gso, end
    parsed.hop_limit = frame[offset + 7]
    parsed.source, parsed.destination = frame[offset + 8:offset + 24], frame[offset + 24:offset + 40]
    next_, at, count = frame[offset + 6], offset + 40, 0
    while next_ in EXTENSIONS:
        count += 1
        if count > MAX_EXTENSIONS:
            return Parsed("too_many_extensions")
        if at + 8 > end:
            return Parsed("truncated_extension")
        if next_ == 44:
            size, field = 8, number(frame, at + 2)
            parsed.fragment_offset, parsed.more_fragments = field & 0xFFF8, field & 1 != 0
            parsed.identification, parsed.fragment_begin = frame[at + 4:at + 8], at + 8
            parsed.fragment_is_aligned = (at - offset) % 8 == 0
        elif next_ == 51:  # RFC 4302 section 2.2
            size = (frame[at + 1] + 2) * 4
        else:
            size = (frame[at + 1] + 1) * 8
        # RFC 4302 section 3.3.3.2.1: an AH in IPv6 is a multiple of 8 bytes long
        parsed.has_options = parsed.has_options or next_ == 43 or size % 8 != 0
        next_, at = frame[at], at + size
        if at > end:
            return Parsed("truncated_extension")
        if at > MAX_EXTENSION_BYTES:
            return Parsed("too_many_extensions")
        if parsed.fragment_offset:
            break
    parsed.protocol = next_
    return parse_transport(frame, at, parsed)


def parse_transport(frame, at, parsed):
    parsed.body = body = frame[at:parsed.end]
    if parsed.fragment_offset or parsed.protocol not in (TCP, UDP):
        return parsed
    if len(body) < (20 if parsed.protocol == TCP else 8):
        return Parsed("truncated_transport")
    parsed.source_port, parsed.destination_port = number(body, 0), number(body, 2)
    if parsed.protocol == TCP:
        header = (body[12] >> 4) * 4
        if header < 20:
            return Parsed("bad_transport")
        if header > len(body):
            return Parsed("truncated_transport")
        parsed.opens = body[13] & 0x12 == 0x02
    return parsed
