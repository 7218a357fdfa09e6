"""Random frames of a few flows, so that what was said before matters, and of every shape that docs/enforce.md names.

Traffic(rng, policy).next() gives (frame, direction). Nothing here knows what becomes of a frame.
"""
import ipaddress
import struct

from policies import PORTS, prefix
from shapes import Shapes

LOCALS4 = [ipaddress.ip_address(a).packed for a in ("10.77.0.2", "192.168.1.20", "198.51.100.99")]
LOCALS6 = [ipaddress.ip_address(a).packed for a in ("fd77::2", "fe80::2", "2001:db8:9::2")]
STRANGERS = [ipaddress.ip_address(a).packed for a in (
    "198.51.100.8", "8.8.8.8", "10.77.0.1", "169.254.1.1", "2600::1", "fe80::1", "2001:db8:9::1", "64:ff9b::808:808")]
ODD4 = [ipaddress.ip_address(a).packed for a in (
    "0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255", "10.77.0.255")]
ODD6 = [ipaddress.ip_address(a).packed for a in (
    "::", "::1", "ff02::1", "ff02::16", "ff02::1:ff00:2", "ff05::1:3", "::ffff:3.7.161.1", "::ffff:0:1", "::2")]
ETHERTYPES = [0x0806, 0x888E, 0x88C7, 0x8809, 0x88CC, 0x8863, 0x890D, 0x05DC, 0x05DD, 0x0600, 0x0026, 0, 0x8847, 0x22F0,
              0x88E5, 0x8035, 0xFFFF, 0x9200, 0x8864]
TCP_FLAGS = [0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0, 0x29, 0x01, 0x03, 0x06, 0xC2, 0xFF, 0x42, 0x22]


class Traffic(Shapes):
    def __init__(self, rng, policy):
        self.rng, self.bare = rng, policy.bare
        self.ports = PORTS + [rng.getrandbits(16) for _ in range(3)]
        self.listed = {4: [], 6: []}  # (address, protocol, port)
        self.remotes = {4: [], 6: []}
        for prefixes, ports in policy.policy.services:
            for address, length in rng.sample(prefixes, min(len(prefixes), 6)):
                for remote in self.around(address, length):
                    family = 4 if len(remote) == 4 else 6
                    self.remotes[family].append(remote)
                    self.listed[family] += [(remote, protocol, port) for protocol, port in sorted(ports)]
        for remote, ports in policy.policy.names.items():
            family = 4 if len(remote) == 4 else 6
            self.remotes[family].append(remote)
            self.listed[family] += [(remote, protocol, port) for protocol, port in sorted(ports)]
        for rule in policy.rules:
            for address, length in rule.prefixes:
                for remote in self.around(address, length):
                    family = 4 if len(remote) == 4 else 6
                    self.remotes[family].append(remote)
                    if rule.kind == 0 and rule.protocol in (6, 17):
                        self.listed[family] += [(remote, rule.protocol, port) for port in set(rule.ports)]
        for text in policy.ranges[-8:]:
            address, length = prefix(text)
            self.remotes[4 if len(address) == 4 else 6] += self.around(address, length)
        for remote in STRANGERS:
            self.remotes[4 if len(remote) == 4 else 6].append(remote)
        self.flows, self.pending, self.ids = [], [], 0
        self.recent = []  # (frame, direction), some of them

    def around(self, address, length):
        """Addresses at a prefix' edges and within, first to last."""
        size = len(address)
        first = int.from_bytes(address, "big")
        span = 1 << (size * 8 - length)
        numbers = {first, first + span - 1, first + self.rng.randrange(span)}
        if self.rng.random() < 0.3:
            numbers |= {first - 1, first + span}
        return [n.to_bytes(size, "big") for n in sorted(numbers) if 0 <= n < 1 << size * 8]

    # -- flows: (family, remote, local, protocol, remote port, local port)

    def flow(self):
        rng = self.rng
        if len(self.flows) > 20 and rng.random() < 0.75:
            return self.flows[int(rng.random() * len(self.flows))]
        flow = self.new_flow()
        if len(self.flows) < 90:
            self.flows.append(flow)
        else:
            self.flows[int(rng.random() * 90)] = flow
        return flow

    def new_flow(self):
        rng = self.rng
        family = 4 if rng.random() < 0.55 else 6
        if self.flows and rng.random() < 0.2:  # beside one that is there
            family, remote, local, protocol, remote_port, local_port = rng.choice(self.flows)
            change = rng.random()
            if change < 0.4:
                return family, remote, local, protocol, rng.choice(self.ports), local_port
            if change < 0.7:
                return family, remote, local, 23 - protocol if protocol in (6, 17) else 6, remote_port, local_port
            return family, remote, local, protocol, remote_port, rng.choice(self.ports)
        local = rng.choice(LOCALS4 if family == 4 else LOCALS6)
        if rng.random() < 0.04:
            local = rng.choice(ODD4 if family == 4 else ODD6)
        if self.listed[family] and rng.random() < 0.4:
            remote, protocol, port = rng.choice(self.listed[family])
            if rng.random() < 0.25:  # the rule's port is the local one
                return family, remote, local, protocol, rng.choice(self.ports), port
            return family, remote, local, protocol, port, rng.choice(self.ports)
        pick = rng.random()
        if pick < 0.06:
            remote = rng.choice(ODD4 if family == 4 else ODD6)
        elif pick < 0.1:
            remote = local
        else:
            remote = rng.choice(self.remotes[family])
        protocol = 6 if rng.random() < 0.45 else 17
        if protocol == 17 and rng.random() < 0.08:
            return (family, remote, local, 17) + ((67, 68) if family == 4 else (547, 546))
        return family, remote, local, protocol, rng.choice(self.ports), rng.choice(self.ports)

    # -- a frame

    def next(self):
        rng = self.rng
        if self.pending and rng.random() < 0.35:
            frame, direction = self.pending.pop(int(rng.random() * min(3, len(self.pending))))
            return frame, direction
        if self.recent and rng.random() < 0.15:  # again, or nearly so
            frame, direction = rng.choice(self.recent)
            return (self.flipped(frame, 60) if rng.random() < 0.4 else frame), direction
        pick = rng.random()
        direction = 0 if rng.random() < 0.55 else 1
        if pick < 0.05 and not self.bare:
            frame = self.no_ip(direction)
        else:
            frame = self.link(*self.packet(direction))
            pick = rng.random()
            if pick < 0.04:
                frame = frame[:int(rng.random() * len(frame))]
            elif pick < 0.07:
                frame = self.flipped(frame)
            elif pick < 0.0735:  # at every byte
                self.pending += [(frame[:n], direction) for n in range(1 if self.bare else 14, len(frame))]
            elif pick < 0.13:
                frame += bytes(rng.choice([1, 6, 18, 26]))
        if rng.random() < 0.2 and frame:
            self.recent.append((frame, direction))
            del self.recent[:-12]
        return frame, direction

    def flipped(self, frame, within=90):
        changed = bytearray(frame)
        for _ in range(self.rng.randint(1, 3)):
            changed[int(self.rng.random() * min(len(frame), within))] = self.rng.getrandbits(8)
        return bytes(changed)

    def packet(self, direction):
        """(IP packet, family)"""
        rng = self.rng
        flow = self.flow()
        family, remote, local, protocol, _, _ = flow
        pick = rng.random()
        if pick < 0.58:
            body = self.transport(flow, direction)
        elif pick < 0.68:
            protocol, body = self.echo(family)
        elif pick < 0.80:
            protocol, body = self.error(flow, direction)
        elif pick < 0.86 and family == 6:
            return self.neighbour(flow, direction), 6
        elif pick < 0.92:
            protocol, body = self.other_icmp(family)
        else:
            protocol, body = self.other(flow, direction)
        if rng.random() < 0.09:
            return self.fragmented(flow, direction, protocol, body), family
        return self.ip(family, remote, local, direction, protocol, body), family

    def transport(self, flow, direction):
        rng = self.rng
        protocol, remote_port, local_port = flow[3:]
        ports = struct.pack("!HH", *((remote_port, local_port) if direction == 0 else (local_port, remote_port)))
        size = rng.choice([0, 0, 1, 4, 12, 40, 100])
        if protocol == 6:
            offset, options = 5, b""
            if rng.random() < 0.1:
                offset = rng.choice([6, 8, 10, 15, 4, 0])
                options = bytes(max(0, offset - 5) * 4)
                if rng.random() < 0.3:
                    options = options[:-4]
            return ports + struct.pack("!IIBBHHH", 1, 1, offset << 4, rng.choice(TCP_FLAGS) if rng.random() < 0.8
                                       else rng.getrandbits(8), 1000, 0, 0) + options + bytes(size)
        length = 8 + size
        if rng.random() < 0.06:
            length = rng.choice([0, 7, 8, length - 1, length + 1, 65535, length + 8])
        return ports + struct.pack("!HH", length, rng.choice([0, 0x1234])) + bytes(size)

    def echo(self, family):
        rng = self.rng
        type_ = rng.choice([8, 0] if family == 4 else [128, 129])
        return (1 if family == 4 else 58), struct.pack("!BBHHH", type_, 0, 0, 1, 1)[:8 if rng.random() < 0.9 else 7] + (
            bytes(rng.choice([0, 8, 56])))

    def other_icmp(self, family):
        rng = self.rng
        type_ = rng.choice([5, 9, 10, 13, 14, 17, 4, 3] if family == 4 else [130, 135, 143, 137, 139, 151, 0, 5, 127, 255])
        protocol = 1 if family == 4 else 58
        if rng.random() < 0.1:
            protocol = 59 - protocol
        return protocol, bytes([type_]) + bytes(rng.choice([0, 3, 6, 7, 12, 40]))

    def error(self, flow, direction):
        """Quotes a packet that went the other way; mostly of the flow whose remote it comes from."""
        rng = self.rng
        family, protocol = flow[0], 1 if flow[0] == 4 else 58
        quoted = flow
        if rng.random() < 0.3:  # a router's
            quoted = self.flow()
        if rng.random() < 0.85:  # of the same local address
            quoted = (quoted[0], quoted[1], flow[2] if quoted[0] == family else quoted[2]) + quoted[3:]
        inner_direction = 1 - direction if rng.random() < 0.93 else direction
        if rng.random() < 0.2:
            inner_protocol, body = self.echo(quoted[0])
        else:
            inner_protocol, body = quoted[3], self.transport(quoted, inner_direction)
        if rng.random() < 0.5:
            body = body[:8]
        if rng.random() < 0.8:
            quote = self.plain(quoted[0], quoted[1], quoted[2], inner_direction, inner_protocol, body)
        else:
            quote = self.ip(quoted[0], quoted[1], quoted[2], inner_direction, inner_protocol, body)
        pick = rng.random()
        if pick < 0.05:
            quote = quote[:int(rng.random() * (len(quote) + 1))]
        elif pick < 0.1:
            quote = self.flipped(quote) if quote else quote
        type_ = rng.choice([3, 3, 11, 12] if family == 4 else [1, 2, 3, 4])
        return protocol, bytes([type_, rng.choice([0, 1, 3, 4])]) + bytes(6) + quote

    def neighbour(self, flow, direction):
        rng = self.rng
        _, remote, local, _, _, _ = flow
        if rng.random() < 0.5:
            remote = rng.choice(STRANGERS[4:6] + ODD6[:5])
        type_, limit = rng.choice([(133, 255), (134, 255), (135, 255), (136, 255), (137, 255), (130, 1), (131, 1),
                                   (132, 1), (143, 1), (135, 64), (143, 255), (134, 254), (131, 2), (135, 1)])
        body = bytes([type_]) + bytes(rng.choice([23, 31, 7, 6]))
        next_, extension = 58, b""
        if limit == 1 and rng.random() < 0.7:
            next_, extension = 0, b"\x3a\x00\x05\x02\x00\x00\x01\x00"
        return self.header6(remote, local, direction, next_, extension + body, limit)

    def other(self, flow, direction):
        """Tunnels and protocols without ports; IP in IP carries what would be admitted."""
        rng = self.rng
        family, remote, local, protocol, _, _ = flow
        pick = rng.random()
        inner_flow = self.flow()
        inner = self.plain(inner_flow[0], inner_flow[1], inner_flow[2], direction, inner_flow[3],
                           self.transport(inner_flow, direction))
        if pick < 0.3:
            return (4 if inner_flow[0] == 4 else 41), inner
        if pick < 0.5:
            return 47, struct.pack("!HH", 0, 0x0800 if inner_flow[0] == 4 else 0x86DD) + inner
        if pick < 0.6:  # VXLAN, RFC 7348
            ports = (rng.choice(self.ports), 4789) if direction == 0 else (4789, rng.choice(self.ports))
            payload = b"\x08\0\0\0\0\0\x05\0" + bytes(12) + b"\x08\0" + inner
            return 17, struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload
        return rng.choice([50, 51, 132, 2, 89, 59, 255, 33, 136, 0, 43, 44, 60]), bytes(rng.choice([0, 4, 8, 20, 40]))

    def fragmented(self, flow, direction, protocol, body):
        """A datagram in two or three: the first now, mostly; the others later, in any order, some of them wrong."""
        rng = self.rng
        family, remote, local = flow[:3]
        body += bytes(rng.choice([8, 16, 24, 64]))
        identification = rng.getrandbits(2) if rng.random() < 0.3 else self.ids
        self.ids = (self.ids + 1) & 0xFFFF
        middle = min(rng.choice([8, 16, 24, 32, 40]), len(body) // 8 * 8)
        parts = [(0, True, body[:middle])]
        begin = middle + rng.choice([0, 0, 0, 0, -8, 8, 16])
        begin = max(8, begin)
        parts.append((begin, rng.random() < 0.4, body[middle:] or bytes(8)))
        if rng.random() < 0.4:
            parts.append((begin + rng.choice([8, 0, 16, 65528 - begin]), False, bytes(8)))
        if rng.random() < 0.2:
            rng.shuffle(parts)
        packets = [self.fragment(family, remote, local, direction, protocol, identification, *part) for part in parts]
        for packet in packets[1:]:
            other = direction if rng.random() < 0.95 else 1 - direction
            self.pending.append((self.link(packet, family), other))
        return packets[0]

    def fragment(self, family, remote, local, direction, protocol, identification, offset, more, body):
        rng = self.rng
        if rng.random() < 0.05:
            identification ^= 1
        if rng.random() < 0.04:
            protocol = rng.choice([6, 17, 1, 58, 47])
        field = (offset >> 3) | (0x2000 if more else 0)
        if family == 4:
            options = bytes(4) if rng.random() < 0.04 else b""
            return self.header4(remote, local, direction, protocol, body, options, field, identification)
        header = bytes([protocol, 0]) + struct.pack("!HI", offset | more, identification | 0x10000)
        next_ = 44
        pick = rng.random()
        if pick < 0.12:
            next_, header = 60, bytes([44, 0]) + bytes(6) + header
        elif pick < 0.16:
            units = rng.choice([4, 1])  # 12 bytes: not a multiple of 8
            next_, header = 51, bytes([44, units]) + bytes((units + 2) * 4 - 2) + header
        elif pick < 0.19 and offset == 0:
            header, body = bytes([60]) + header[1:], bytes([protocol, 0]) + bytes(6) + body
        return self.header6(remote, local, direction, next_, header + body)

    def no_ip(self, direction):
        rng = self.rng
        tags = rng.choice([0, 0, 0, 1, 2, 4, 5])
        pick = rng.random()
        if pick < 0.5:
            remote, local = rng.choice(self.remotes[4]), rng.choice(LOCALS4)
            sender, target = self.ends(remote, local, direction)
            hardware, protocol, sizes = 1, 0x0800, (6, 4)
            if rng.random() < 0.15:
                hardware, protocol = rng.choice([6, 1]), rng.choice([0x0800, 0x86DD])
                sizes = rng.choice([(6, 4), (8, 4), (6, 16)])
            body = struct.pack("!HHBBH", hardware, protocol, *sizes, rng.choice([1, 2, 3, 9])) + bytes(6) + sender + bytes(
                6) + target
            if rng.random() < 0.1:
                body = body[:int(rng.random() * 28)]
            elif rng.random() < 0.5:
                body += bytes(18)
            return self.ethernet(0x0806, body, tags)
        if pick < 0.65:
            return self.ethernet(0x8864, self.pppoe(rng.choice([0xC021, 0x8021, 0x8057, 0x0031, 0x7FFF, 0x8000, 0]), 4) +
                                 bytes(4), tags)
        return self.ethernet(rng.choice(ETHERTYPES), bytes(rng.choice([0, 1, 4, 7, 8, 46])), tags)
