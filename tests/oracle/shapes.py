"""IP packets and the links that they come by, right and wrong: headers, options, extension headers, tags, PPPoE."""
import struct


def sum_of(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


class Shapes:
    """Needs `rng` and `bare` (packets without Ethernet)."""

    # -- IP

    def ends(self, remote, local, direction):
        return (remote, local) if direction == 0 else (local, remote)

    def plain(self, family, remote, local, direction, protocol, body):
        if family == 4:
            return self.header4(remote, local, direction, protocol, body)
        return self.header6(remote, local, direction, protocol, body)

    def header4(self, remote, local, direction, protocol, body, options=b"", fragment=0, identification=None, total=None):
        source, destination = self.ends(remote, local, direction)
        words = 5 + len(options) // 4
        start = struct.pack("!BBHHHBB", 0x40 | words, 0, (words * 4 + len(body) if total is None else total) & 0xFFFF,
                            self.rng.getrandbits(16) if identification is None else identification, fragment, 64, protocol)
        checksum = sum_of(start + source + destination + options)
        return start + struct.pack("!H", checksum) + source + destination + options + body

    def header6(self, remote, local, direction, next_, body, limit=64, length=None):
        source, destination = self.ends(remote, local, direction)
        return struct.pack("!IHBB", 6 << 28, (len(body) if length is None else length) & 0xFFFF, next_,
                           limit) + source + destination + body

    def ip(self, family, remote, local, direction, protocol, body):
        rng = self.rng
        pick = rng.random()
        if family == 4:
            if pick < 0.82:
                return self.header4(remote, local, direction, protocol, body)
            if pick < 0.87:  # options; loose and strict source routing, RFC 791
                options = rng.choice([b"\x01\x01\x01\x00", b"\x83\x07\x04" + remote[:4] + b"\x00",
                                      b"\x89\x07\x04" + local[:4] + b"\x00", b"\x94\x04\x00\x00", bytes(40)])
                return self.header4(remote, local, direction, protocol, body, options)
            if pick < 0.90:
                return self.header4(remote, local, direction, protocol, body,
                                    total=rng.choice([0, 19, 20, 20 + len(body) - 1, 20 + len(body) + 1, 65535, 24, 28]))
            packet = bytearray(self.header4(remote, local, direction, protocol, body,
                                            fragment=rng.choice([0x4000, 0x8000, 0, 0x2000, 0x6000])))
            if pick < 0.94:
                packet[10 + rng.getrandbits(1)] ^= 1 << rng.getrandbits(3)
            elif pick < 0.95:
                packet[0] = rng.choice([0x44, 0x55, 0x4F, 0x65, 0x40, 0x46])
            return bytes(packet)
        if pick < 0.72:
            return self.header6(remote, local, direction, protocol, body)
        if pick < 0.94:
            next_, extensions = self.extensions(protocol)
            return self.header6(remote, local, direction, next_, extensions + body)
        length = None
        if pick < 0.97:
            length = rng.choice([0, 1, len(body) - 1, len(body) + 1, 65535, 8])
        if length == -1:
            length = 0
        if pick > 0.985:  # a jumbogram, RFC 2675
            jumbo = bytes([protocol, 0, 0xC2, 4]) + struct.pack("!I", 8 + len(body))
            return self.header6(remote, local, direction, 0, jumbo + body, length=0)
        packet = bytearray(self.header6(remote, local, direction, protocol, body, length=length))
        if pick > 0.98:
            packet[0] = rng.choice([0x40, 0x45, 0x50, 0x70, 0])
        return bytes(packet)

    def extensions(self, protocol):
        """(next header, extension headers): one to nine, of all kinds, mostly right."""
        rng = self.rng
        count = rng.choices([1, 2, 3, 5, 8, 9], [8, 4, 2, 1, 1.5, 1])[0]
        chain = b""
        for _ in range(count):
            kind = rng.choices([0, 43, 44, 51, 60, 135, 139, 140], [4, 2, 4, 2, 5, 1, 1, 1])[0]
            if kind == 44:
                field = rng.choice([0, 0, 0, 1, 1, 8, 0x11, 6])
                header = bytes([protocol, rng.choice([0, 0, 255])]) + struct.pack("!HI", field, rng.getrandbits(3))
            elif kind == 51:
                units = rng.choice([4, 4, 2, 0, 3, 1])
                header = bytes([protocol, units]) + bytes((units + 2) * 4 - 2)
            else:
                units = rng.choice([0, 0, 0, 1, 2, 31])
                if rng.random() < 0.02:
                    units = 255
                header = bytes([protocol, units]) + bytes(units * 8 + 6)
            protocol, chain = kind, header + chain
        if rng.random() < 0.04:
            chain = chain[:int(rng.random() * len(chain))]
        return protocol, chain

    # -- links

    def link(self, packet, family):
        if self.bare:
            return packet
        rng = self.rng
        type_ = 0x0800 if family == 4 else 0x86DD
        frame = b""
        pick = rng.random()
        if pick < 0.03:
            type_ = 0x86DD if family == 4 else 0x0800
        if pick > 0.97:
            frame, type_ = self.pppoe(0x0021 if family == 4 else 0x0057, len(packet)), 0x8864
        tags = 0
        if pick > 0.86:
            tags = rng.choices([1, 2, 3, 4, 5, 6], [8, 4, 1, 1.5, 1.5, 1])[0]
        return self.ethernet(type_, frame + packet, tags)

    def ethernet(self, type_, body, tags):
        for _ in range(tags):
            body = struct.pack("!HH", self.rng.getrandbits(12), type_) + body
            type_ = self.rng.choice([0x8100, 0x8100, 0x88A8, 0x9100])
        return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02" + struct.pack("!H", type_) + body

    def pppoe(self, protocol, size):
        rng = self.rng
        start, code = (0x11, 0) if rng.random() < 0.9 else (rng.choice([0x11, 0x12, 0x21, 0]), rng.choice([0, 1, 0x65]))
        return struct.pack("!BBHHH", start, code, 1, rng.choice([size + 2, size + 2, 0, size]), protocol)
