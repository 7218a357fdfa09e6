"""The rules of admission (docs/enforce.md), and what the other modes say of a packet, as plainly as they can be said.

Written from that text and from the RFCs that it names; nothing here is taken from the programs. No table is looked up in
a clever way: ranges and rules are walked one after the other, and remembered by address only because Python is slow.
Invariant: judge() depends on the policy, the frame, and the frames before it, nothing else.
"""
from frames import Parsed, parse

INGRESS, EGRESS = 0, 1
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
FROM, TO = 1, 2
PROTOCOL, ECHO, ERROR, NEIGHBOUR, ARP, DHCP = range(6)  # kinds of allow rules
# Not dropped by enforce; all other reasons are.
PASSING = {"no_policy", "rule", "name", "icmp", "later_fragment", "not_ip", "allowed", "lifeline", "link_control"}
LINK_CONTROL = {0x888E, 0x88C7, 0x8809, 0x88CC, 0x8863, 0x890D}
FRAGMENT_SECONDS = 30
UDP_SECONDS = 300
MARTIANS4 = ((b"\x00", 8), (b"\x7f", 8), (b"\xe0", 3))
MARTIANS6 = ((b"\x00" * 16, 128), (b"\x00" * 15 + b"\x01", 128), (b"\xff", 8), (b"\x00" * 10 + b"\xff\xff", 96))


def holds(prefix, length, address):
    """Are the first `length` bits of both equal?"""
    whole, rest = divmod(length, 8)
    if prefix[:whole] != address[:whole]:
        return False
    return rest == 0 or (prefix[whole] ^ address[whole]) >> (8 - rest) == 0


class Rule:
    """prefixes: [(bytes of 4 or 16, length)]; ports: first and last."""

    def __init__(self, kind, flags, prefixes, protocol=0, ports=(0, 65535), lifeline=False):
        self.kind, self.flags, self.prefixes, self.protocol = kind, flags, prefixes, protocol
        self.ports, self.lifeline = ports, lifeline


class Policy:
    """services: [([(prefix, length)], {(protocol, port)})], with the IPv6 prefixes of NAT64 (RFC 6052) in it.
    names: {address: {(protocol, port)}}: what DNS gave the address for opens these, where no range holds it.
    """

    def __init__(self, services, names, rules, mode, admission):
        self.services, self.names, self.rules = services, names, rules
        self.mode, self.admission = mode, admission
        self.known_ports, self.known_rules = {}, {}

    def ports_of(self, remote):
        """The ports of all services that hold the address; None: no service does."""
        if remote not in self.known_ports:
            found = [ports for prefixes, ports in self.services
                     if any(len(p) == len(remote) and holds(p, n, remote) for p, n in prefixes)]
            self.known_ports[remote] = set().union(*found) if found else None
        return self.known_ports[remote]

    def step_5(self, remote, protocol, port):
        """"rule", "name", "port_not_listed", or None: a stranger's. Of TCP and UDP."""
        ports = self.ports_of(remote)
        if ports is not None:
            return "rule" if (protocol, port) in ports else "port_not_listed"
        return "name" if (protocol, port) in self.names.get(remote, ()) else None

    def rules_of(self, remote):
        if remote not in self.known_rules:
            self.known_rules[remote] = [rule for rule in self.rules if any(
                len(p) == len(remote) and holds(p, n, remote) for p, n in rule.prefixes)]
        return self.known_rules[remote]


class Host:
    """What is remembered from packet to packet."""

    def __init__(self, policy):
        self.policy = policy
        self.spoken = {}  # (remote, local, protocol, remote port, local port): when
        self.fragments = {}  # (direction, remote, local, identification, protocol): (when, end)
        self.now = 0
        self.last_flow = None
        self.by_answer = False  # the rule that admitted the last packet lets the remote open
        self.admitted_by = {}  # (direction, flow): which of "allowed" and "lifeline" there have been, see alternative()

    # -- what has been said before

    def has_spoken(self, flow, limited):
        """limited: only 300 s of UDP count, as for allow rules."""
        when = self.spoken.get(flow)
        if when is None:
            return False
        return not (limited and flow[2] == UDP) or self.now - when < UDP_SECONDS

    # -- the steps

    def judge(self, frame, direction, bare=False, gso=False):
        """(reason, dropped?, reason of what a rehearsal would have dropped or None)"""
        parsed = parse(frame, bare, gso)
        policy = self.policy
        if policy.admission == "none":
            return self.ordinary(parsed, direction), False, None
        self.last_flow = None
        reason = self.admit(parsed, direction)
        dropped = reason not in PASSING
        if policy.admission == "enforce":
            return reason, dropped, None
        return self.ordinary(parsed, direction), False, reason if dropped else None

    def ordinary(self, parsed, direction):
        """In the modes that drop nothing: by remote address, protocol and port alone."""
        if parsed.reason:
            return parsed.reason
        if parsed.family == 0:
            return "not_ip"
        remote = parsed.source if direction == INGRESS else parsed.destination
        port = parsed.source_port if direction == INGRESS else parsed.destination_port
        if not parsed.fragment_offset and parsed.protocol in (TCP, UDP):
            return self.policy.step_5(remote, parsed.protocol, port) or "stranger"
        if self.policy.ports_of(remote) is None:
            return "stranger"
        if parsed.fragment_offset:
            return "later_fragment"
        return "icmp" if parsed.protocol in (ICMP, ICMP6) else "other_protocol"

    def admit(self, parsed, direction):
        if parsed.reason:
            return parsed.reason  # step 1
        if parsed.family == 0:
            return self.admit_link(parsed, direction)  # step 2
        if direction == INGRESS:
            remote, local, remote_port, local_port = (parsed.source, parsed.destination, parsed.source_port,
                                                      parsed.destination_port)
        else:
            remote, local, remote_port, local_port = (parsed.destination, parsed.source, parsed.destination_port,
                                                      parsed.source_port)
        datagram = (direction, remote, local, parsed.identification, parsed.protocol if parsed.family == 4 else None)
        if parsed.fragment_offset:  # step 3
            when, end = self.fragments.get(datagram, (None, 0))
            # Behind an AH of an odd length nothing is ever admitted, and so no first one.
            if when is None or not parsed.fragment_is_aligned or self.now - when >= FRAGMENT_SECONDS:
                return "fragment_without_first"
            if parsed.fragment_offset < end:
                return "overlapping_fragment"
            return veto(parsed, direction, None, False) or "later_fragment"
        flow = (remote, local, parsed.protocol, remote_port, local_port)
        kind = kind_of(parsed)  # step 4
        by_step_5 = self.admit_kudo(parsed, direction, flow, kind)  # step 5
        if by_step_5 in ("rule", "name", "icmp", "unsolicited"):
            reason, by_rule = by_step_5, False
        elif kind == ERROR:
            reason, by_rule = self.admit_error(parsed, direction, flow), True
        else:
            reason, by_rule = self.admit_by_rules(parsed, direction, flow, kind, by_step_5 or "stranger"), True
        if reason not in PASSING:
            return reason
        reason = veto(parsed, direction, kind, by_rule) or reason  # step 7
        if reason in PASSING:  # step 8
            answers = by_rule and kind != ERROR and self.by_answer
            if parsed.more_fragments and not (answers and reason == "lifeline"):
                self.fragments[datagram] = (self.now, parsed.end - parsed.fragment_begin)
            if direction == EGRESS and parsed.protocol in (TCP, UDP) and not answers:
                self.spoken[flow] = self.now
            if reason in ("allowed", "lifeline"):
                self.admitted_by.setdefault((direction, flow), set()).add(reason)
                self.last_flow = direction, flow
        return reason

    def alternative(self, reason):
        """For a moment a flow's packets may be counted as the one before, which another rule admitted: None, or as what."""
        if reason not in ("allowed", "lifeline") or self.policy.admission != "enforce":
            return None
        other = "allowed" if reason == "lifeline" else "lifeline"
        return other if other in self.admitted_by.get(self.last_flow, ()) else None

    def admit_link(self, parsed, direction):
        type_ = parsed.ethertype
        if parsed.ppp is not None:
            return "link_control" if parsed.ppp >= 0x8000 else "not_ip_denied"
        if type_ is None:
            return "not_ip_denied"
        if 0 < type_ <= 0x05DC or type_ in LINK_CONTROL:
            return "link_control"
        body = parsed.body
        if type_ == 0x0806 and len(body) >= 28 and body[2:4] == b"\x08\x00" and body[4] == 6 and body[5] == 4:
            remote = body[14:18] if direction == INGRESS else body[24:28]
            for rule in self.policy.rules_of(remote):
                if rule.kind == ARP:
                    return "lifeline" if rule.lifeline else "allowed"
        return "not_ip_denied"

    def admit_kudo(self, parsed, direction, flow, kind):
        """"rule", "name", "icmp", "unsolicited", or what step 5 calls it if step 6 has no rule; None: a stranger's."""
        protocol = parsed.protocol
        if protocol in (TCP, UDP):
            reason = self.policy.step_5(flow[0], protocol, flow[3])
            is_kudo = reason in ("rule", "name")
            if is_kudo and direction == INGRESS and (parsed.opens or not self.has_spoken(flow, False)):
                return "unsolicited"
            return reason
        if self.policy.ports_of(flow[0]) is None:
            return None
        if kind == ECHO:
            return "icmp" if is_request(parsed) == (direction == EGRESS) else "icmp_denied"
        if kind == ERROR:
            return None
        return "icmp_denied" if protocol in (ICMP, ICMP6) else "other_protocol"

    def admit_by_rules(self, parsed, direction, flow, kind, otherwise):
        matched = False
        for rule in self.policy.rules_of(flow[0]):
            by_from, by_to = match(rule, parsed, direction, flow, kind)
            if not by_from and not by_to:
                continue
            matched = True
            if not by_from and direction == INGRESS and parsed.protocol in (TCP, UDP) and rule.kind != DHCP:
                if parsed.opens or not self.has_spoken(flow, True):
                    continue
            self.by_answer = parsed.protocol in (TCP, UDP) and (by_from or rule.kind == DHCP)
            return "lifeline" if rule.lifeline else "allowed"
        return "unsolicited" if matched else otherwise

    # -- ICMP errors

    def admit_error(self, parsed, direction, flow):
        remote, local = flow[0], flow[1]
        is_kudo = self.policy.ports_of(remote) is not None
        rules = [rule for rule in self.policy.rules_of(remote)
                 if rule.kind == ERROR or rule.kind == PROTOCOL and rule.protocol == 0]
        if not rules and not is_kudo:
            return "stranger"
        if not self.quote_is_admitted(parsed.body[8:], parsed.family, direction, local):
            return "icmp_unrelated"
        if is_kudo:
            return "icmp"
        return "lifeline" if rules[0].lifeline else "allowed"

    def quote_is_admitted(self, quote, family, direction, local):
        header = 20 if family == 4 else 40
        if len(quote) < header + 8 or quote[0] >> 4 != family:
            return False
        if family == 4:
            if quote[0] & 15 != 5 or int.from_bytes(quote[6:8], "big") & 0x1FFF:
                return False
            protocol, source, destination = quote[9], quote[12:16], quote[16:20]
        else:
            protocol, source, destination = quote[6], quote[8:24], quote[24:40]
        went_out = direction == INGRESS
        remote = destination if went_out else source
        if (source if went_out else destination) != local:
            return False
        inner = quote[header:]
        if protocol in (TCP, UDP):
            ports = int.from_bytes(inner[0:2], "big"), int.from_bytes(inner[2:4], "big")
            remote_port, local_port = (ports[1], ports[0]) if went_out else ports
            flow = (remote, local, protocol, remote_port, local_port)
            if self.policy.step_5(remote, protocol, remote_port) in ("rule", "name") and self.has_spoken(flow, False):
                return True
            for rule in self.policy.rules_of(remote):
                if rule.kind == DHCP and protocol == UDP and (local_port, remote_port) == dhcp_ports(family):
                    return True
                if rule.kind != PROTOCOL or rule.protocol not in (0, protocol):
                    continue
                if rule.flags & FROM and rule.ports[0] <= local_port <= rule.ports[1]:
                    return True
                if rule.flags & TO and rule.ports[0] <= remote_port <= rule.ports[1] and self.has_spoken(flow, True):
                    return True
            return False
        if protocol != (ICMP if family == 4 else ICMP6):
            return any(rule.kind == PROTOCOL and rule.protocol in (0, protocol) for rule in self.policy.rules_of(remote))
        request, reply = (8, 0) if family == 4 else (128, 129)
        if inner[0] not in (request, reply):
            return False
        by_this_host = (inner[0] == request) == went_out  # the one who asked
        if by_this_host and self.policy.ports_of(remote) is not None:
            return True
        wanted = TO if by_this_host else FROM
        return any(rule.flags & wanted and (rule.kind == ECHO or rule.kind == PROTOCOL and rule.protocol == 0)
                   for rule in self.policy.rules_of(remote))


def is_icmp(parsed):
    return parsed.protocol == (ICMP if parsed.family == 4 else ICMP6)


def kind_of(parsed):
    if not is_icmp(parsed) or len(parsed.body) < 8:
        return PROTOCOL
    type_ = parsed.body[0]
    if parsed.family == 4:
        return ECHO if type_ in (0, 8) else ERROR if type_ in (3, 11, 12) else PROTOCOL
    if type_ in (128, 129):
        return ECHO
    if 1 <= type_ <= 4:
        return ERROR
    if 133 <= type_ <= 137 and parsed.hop_limit == 255 or type_ in (130, 131, 132, 143) and parsed.hop_limit == 1:
        return NEIGHBOUR
    return PROTOCOL


def dhcp_ports(family):
    """A client's: local, remote."""
    return (68, 67) if family == 4 else (546, 547)


def is_request(parsed):
    return parsed.body[0] == (8 if parsed.family == 4 else 128)


def match(rule, parsed, direction, flow, kind):
    """Does the rule match by `from`, does it by `to`?"""
    remote_port, local_port = flow[3], flow[4]
    from_, to = bool(rule.flags & FROM), bool(rule.flags & TO)
    if rule.kind == DHCP:
        if parsed.protocol != UDP or (local_port, remote_port) != dhcp_ports(parsed.family):
            return False, False
    elif rule.kind == PROTOCOL:
        if rule.protocol != 0:
            if kind != PROTOCOL or rule.protocol != parsed.protocol:
                return False, False
            if parsed.protocol in (TCP, UDP):
                from_ = from_ and rule.ports[0] <= local_port <= rule.ports[1]
                to = to and rule.ports[0] <= remote_port <= rule.ports[1]
    elif rule.kind != kind or rule.kind == ARP:
        return False, False
    if parsed.protocol == TCP and direction == EGRESS and parsed.opens:
        from_ = False
    if kind == ECHO:
        this_host_asks = is_request(parsed) == (direction == EGRESS)
        from_, to = from_ and not this_host_asks, to and this_host_asks
    return from_, to


def veto(parsed, direction, kind, by_rule):
    """A reason to drop what was admitted, or None."""
    if parsed.has_options:
        return "ip_options"
    if direction == INGRESS and parsed.family == 4 and not parsed.checksum_is_right:
        return "bad_checksum"
    is_dhcp = parsed.protocol == UDP and (parsed.destination_port, parsed.source_port) == dhcp_ports(parsed.family)
    if direction == INGRESS and by_rule and kind != NEIGHBOUR and not is_dhcp:
        martians = MARTIANS4 if parsed.family == 4 else MARTIANS6
        if parsed.source == parsed.destination or any(holds(p, n, parsed.source) for p, n in martians):
            return "bad_source"
    if parsed.protocol == UDP and not parsed.is_gso and not parsed.fragment_offset:
        length = int.from_bytes(parsed.body[4:6], "big")
        if length < 8 or length > len(parsed.body) and not parsed.more_fragments:
            return "bad_transport"
    return None
