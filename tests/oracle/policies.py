"""Random policies: a range map (or the real one), the regions that are enabled, allow rules, a mode.

What the runner compiles is `document`; what the model judges by is `policy`. Both are said separately, from the same
random choices.
"""
import ipaddress
import json
import pathlib

import model

REAL_MAP = pathlib.Path(__file__).parents[2] / "maps/data/kudo-2022-03.json"
NAT64 = ipaddress.ip_address("64:ff9b::").packed[:12]
NETWORKS = ["3.7.161.0/24", "3.123.12.0/24", "52.200.60.0/22", "100.64.0.0/10", "203.0.113.0/24", "2001:db8:1::/48",
            "2a05:d018::/32"]
ADMINS = ["203.0.113.0/24", "198.51.100.7/32", "192.0.2.0/25", "10.77.0.0/16", "3.7.161.0/26", "127.0.0.0/8",
          "224.0.0.0/4", "2001:db8:9::/48", "2001:db8:1:2::/64", "fe80::/10", "ff02::/16", "::1/128", "fd77::1/128"]
DOMAINS = ["anvil.tokbox.com", "*.tokbox.com", "*.a.tokbox.com", "live.kudoway.ca", "tokbox.com", "bot.example.net"]
LEARNED = ["18.156.200.9", "18.156.200.10", "25.0.0.1", "3.7.161.5", "2600:1f18::9", "2a05:d018::77", "192.0.2.9"]
PORTS = [22, 53, 67, 68, 80, 123, 443, 546, 547, 3478, 4500, 4789, 5349, 8443, 50000, 65535, 1]


def prefix(text):
    network = ipaddress.ip_network(text, strict=False)
    return network.network_address.packed, network.prefixlen


def text_of(address, length):
    return f"{ipaddress.ip_address(address)}/{length}"


def random_inside(rng, text):
    """A prefix somewhere in it, as text."""
    network = ipaddress.ip_network(text)
    length = min(network.max_prefixlen, network.prefixlen + rng.choice([0, 1, 2, 4, 6, 8, 16, 32, 96]))
    host = rng.getrandbits(network.max_prefixlen - network.prefixlen) if network.num_addresses > 1 else 0
    return str(ipaddress.ip_network((int(network.network_address) + host, length), strict=False))


def random_map(rng):
    services = []  # at most four: more may not be over one address
    for number in range(rng.randint(1, 4)):
        ranges = {random_inside(rng, rng.choice(NETWORKS)) for _ in range(rng.randint(1, 4))}
        services.append({
            "name": f"service-{number}", "class": rng.choice(["media", "control"]),
            "regions": rng.choice([["*"], ["*"], ["ca"], ["cn"]]), "optional": rng.random() < 0.15,
            "ports": sorted({f"{rng.choice(['tcp', 'udp'])}/{rng.choice(PORTS)}" for _ in range(rng.randint(1, 6))}),
            "ipv4": sorted(r for r in ranges if ":" not in r), "ipv6": sorted(r for r in ranges if ":" in r),
            "domains": sorted({rng.choice(DOMAINS) for _ in range(rng.choice([0, 1, 3]))})})
    if not any(is_chosen(s, ["ca"], []) for s in services):
        services[0].update(regions=["*"], optional=False)
    if not any("ca" in s["regions"] for s in services):
        services[-1]["regions"] = ["ca"]
    return {"format": "kudo-range-map/1", "serial": 2022030100, "issued": "2022-03-01T00:00:00Z",
            "effective": "2022-03-01T00:00:00Z", "expires": None, "services": services}


def is_chosen(service, regions, asked):
    """asked: optional services, as Teams is one."""
    if service.get("optional", False) and service["name"] not in asked:
        return False
    return "*" in service["regions"] or any(r in regions for r in service["regions"])


def ports_of(service):
    return {({"tcp": 6, "udp": 17}[protocol], int(port))
            for protocol, port in (text.split("/") for text in service["ports"])}


def services_of(chosen):
    """As the model wants them; IPv4 also behind 64:ff9b::/96 (RFC 6052)."""
    result = []
    for service in chosen:
        prefixes = [prefix(p) for p in service.get("ipv4", []) + service.get("ipv6", [])]
        prefixes += [(NAT64 + p, 96 + n) for p, n in prefixes if len(p) == 4]
        result.append((prefixes, ports_of(service)))
    return result


def covers(domain, name):
    return domain == name or domain.startswith("*.") and name.removeprefix("*.").endswith(domain[1:])


def random_learned(rng, document):
    """{address as text: the domains of the map that DNS gave it for}"""
    domains = sorted({d for s in document["services"] for d in s.get("domains", [])})
    if not domains:
        return {}
    return {address: sorted({rng.choice(domains) for _ in range(rng.choice([1, 1, 2, 4]))})
            for address in rng.sample(LEARNED, rng.randint(0, len(LEARNED)))}


def ports_of_names(learned, chosen):
    """{address: the ports that its names open}, by each domain that a chosen service has and by those that cover it."""
    held = {d for s in chosen for d in s.get("domains", [])}
    return {ipaddress.ip_address(address).packed: set().union(*(
        ports_of(s) for name in names if name in held for s in chosen
        if any(covers(d, name) for d in s.get("domains", [])))) for address, names in learned.items()}


def random_rule(rng, ranges):
    kind = rng.choices(range(6), [10, 2, 2, 1.5, 2, 1])[0]
    flags = rng.choice([1, 2, 2, 3])
    protocol, ports = 0, (0, 65535)
    if kind == model.PROTOCOL:
        protocol = rng.choices([6, 17, 0, 1, 58, 47, 4, 41, 50, 51, 132, rng.randint(1, 255)],
                               [6, 6, 2, 1, 1, 1, 1, 1, 1, 0.3, 0.3, 0.5])[0]
        if protocol in (6, 17) and rng.random() < 0.85:
            first = rng.choice(PORTS)
            ports = (first, min(65535, first + rng.choice([0, 0, 0, 1, 10, 1000, 65535])))
    choice = rng.random()
    if choice < 0.25:
        prefixes = ["0.0.0.0/0", "::/0"]
    else:
        pool = ADMINS + ranges
        prefixes = sorted({rng.choice(pool) for _ in range(rng.randint(1, 3))})
    return model.Rule(kind, flags, [prefix(p) for p in prefixes], protocol, ports, rng.random() < 0.4)


class RandomPolicy:
    def __init__(self, rng):
        real = rng.random() < 0.35
        document = json.loads(REAL_MAP.read_text()) if real else random_map(rng)
        names = sorted({r for s in document["services"] for r in s["regions"]} - {"*"})
        self.regions = sorted(rng.sample(names, rng.randint(1, len(names)))) if real else ["ca"]
        optional = [s["name"] for s in document["services"] if s.get("optional", False)]
        self.asked = [name for name in optional if rng.random() < 0.5]
        learned = random_learned(rng, document)
        self.mode, self.admission, deadline = rng.choices(
            [("enforce", "enforce", "none"), ("enforce", "enforce", "ahead"), ("enforce", "enforce", "past"),
             ("prioritise", "rehearse", "none"), ("observe", "rehearse", "none"), ("prioritise", "none", "none"),
             ("observe", "none", "none")], [60, 6, 5, 14, 4, 6, 5])[0]
        self.bare = rng.random() < 0.15
        self.ranges = [p for s in document["services"] for p in s.get("ipv4", []) + s.get("ipv6", [])]
        rules = [random_rule(rng, self.ranges) for _ in range(rng.choice([0, 2, 5, 9, 14]))]
        self.rules = rules
        admission = "none" if deadline == "past" else self.admission
        chosen = [s for s in document["services"] if is_chosen(s, self.regions, self.asked)]
        self.policy = model.Policy(services_of(chosen), ports_of_names(learned, chosen), rules, self.mode, admission)
        self.document = {
            "mode": self.mode, "admission": self.admission, "deadline": deadline, "bare": self.bare,
            "regions": self.regions, "optional": self.asked, "map": document,
            "learned": [{"address": address, "domains": domains} for address, domains in sorted(learned.items())],
            "rules": [] if self.admission == "none" else [
                {"kind": r.kind, "flags": r.flags, "protocol": r.protocol, "first": r.ports[0], "last": r.ports[1],
                 "lifeline": r.lifeline, "remotes": [text_of(p, n) for p, n in r.prefixes]} for r in rules]}
