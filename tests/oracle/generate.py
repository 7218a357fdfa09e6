#!/usr/bin/env python3
"""Writes sessions to standard output for kudo_oracle: policies, frames, and what the model says of each.

generate.py --seed N --sessions N [--packets N] [--break RULE]

A session is a policy, thousands of frames, and steps of time between. All numbers are little-endian.
  'S' u32 length, JSON: the policy (RandomPolicy.document), the seed, the names of the reasons
  'P' u8 hook (0 XDP, 1 tc ingress, 2 tc egress), u8 reason, u8 dropped, u8 reason of a rehearsal's drop or 255,
      u8 a reason that will do as well or 255,
      u16 gso_size, u16 gso_segs, u16 bytes of the first buffer or 65535, u16 length, the frame
  'A' u32 seconds: so much older is everything that the programs remember
  'E' the session's end
--break RULE: the model is wrong in one place, which must be found (the runner's own test).
"""
import argparse
import json
import random
import struct
import sys

import model
from policies import RandomPolicy
from traffic import Traffic

REASONS = [
    "no_policy", "stranger", "rule", "port_not_listed", "icmp", "other_protocol", "later_fragment", "not_ip", "too_many_tags",
    "truncated_link", "truncated_ip", "bad_ip", "truncated_extension", "too_many_extensions", "truncated_transport",
    "bad_transport", "allowed", "lifeline", "link_control", "unsolicited", "fragment_without_first", "overlapping_fragment",
    "bad_source", "ip_options", "bad_checksum", "icmp_unrelated", "not_ip_denied", "icmp_denied", "name"]
NUMBERS = {name: number for number, name in enumerate(REASONS)}
MAX_FRAME = 3400  # test runs of tc take no more than a page with all that the kernel puts around
PACKET = struct.Struct("<cBBBBBHHHH")


def break_model(rule):
    """One mistake, of those that an implementation could make."""
    if rule == "spoken":
        model.Host.has_spoken = lambda self, flow, limited: True
    elif rule == "fragments":
        model.FRAGMENT_SECONDS = 1 << 30
    elif rule == "quote":
        model.Host.quote_is_admitted = lambda self, *of: True
    elif rule == "options":
        model.PASSING = model.PASSING | {"ip_options"}
    elif rule == "names":
        step_5 = model.Policy.step_5
        model.Policy.step_5 = lambda self, remote, *port: (
            "name" if port in self.names.get(remote, ()) else step_5(self, remote, *port))
    else:
        raise SystemExit(f"generate.py: no rule {rule!r} can be broken; spoken, fragments, quote, options, names can")


def session(seed, packets, write):
    rng = random.Random(seed)
    policy = RandomPolicy(rng)
    text = json.dumps({**policy.document, "seed": seed, "reasons": REASONS}).encode()
    out = [b"S" + struct.pack("<I", len(text)) + text]
    traffic, host = Traffic(rng, policy), model.Host(policy.policy)
    none = NUMBERS
    for number in range(packets):
        if rng.random() < 0.0015:
            seconds = rng.choice([1, 10, 15, 31, 150, 301])
            host.now += seconds
            out.append(b"A" + struct.pack("<I", seconds))
        frame, direction = traffic.next()
        frame = frame[:MAX_FRAME]
        hook, size, segments, buffer = 2, 0, 0, 0xFFFF
        if direction == model.INGRESS:
            hook = 1 if policy.bare else int(rng.random() < 0.4)
        if hook == 0:
            if rng.random() < 0.08:
                buffer = int(rng.random() * min(len(frame) + 1, 120))
        elif rng.random() < 0.04:
            size, segments = rng.choice([1, 100, 1448]), rng.choice([1, 2, 9])
        reason, dropped, would_drop = host.judge(frame, direction, policy.bare, size != 0)
        other = host.alternative(reason)
        out.append(PACKET.pack(b"P", hook, none[reason], dropped, 255 if would_drop is None else none[would_drop],
                               255 if other is None else none[other], size, segments, buffer, len(frame)) + frame)
        if len(out) > 400:
            write(b"".join(out))
            out.clear()
    out.append(b"E")
    write(b"".join(out))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--sessions", type=int, default=1 << 60)
    parser.add_argument("--packets", type=int, default=4000)
    parser.add_argument("--break", dest="broken")
    options = parser.parse_args()
    if options.broken:
        break_model(options.broken)
    try:
        for seed in range(options.seed, options.seed + options.sessions):
            session(seed, options.packets, sys.stdout.buffer.write)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.close()  # the runner has had enough


if __name__ == "__main__":
    main()
