#!/usr/bin/env python3
"""Upgrades from a really older build, under traffic: older.py COMMIT... [--new PROGRAM] [--case TEXT]

Builds kudo-agent of each COMMIT in build/older, enables it, and has the new program (build/release) take over without it: by
`enable`, or by the service alone. In each mode that the older one has, with each hook. No packet may be judged otherwise
meanwhile, nothing of the older build may stay in the kernel, and `disable` must leave nothing at all.
"""
import argparse
import ctypes
import json
import os
import pathlib
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from package import KUDO, OWN, PORT, equal, eventually, run, set_up_network

ROOT = pathlib.Path(__file__).resolve().parents[2]
STRANGER = "198.51.100.7"
# What goes on over a change of layout: agent/datapath/datapath.cpp.
HANDED_ON = {"kudo_outgoing4", "kudo_outgoing6", "kudo_fragments"}
HOOKS = {"tcx": ("--ingress", "tc"), "clsact": ("--ingress", "tc", "--tc-hook", "clsact"), "xdp": ("--ingress", "xdp")}
DEADLINE = 12  # s, of what is not confirmed


def build(commit):
    """Of its files alone, whatever is changed here; what was built is kept."""
    commit = run("git", "-C", ROOT, "rev-parse", "--verify", commit + "^{commit}").stdout.strip()
    tree = ROOT / "build/older" / commit[:12]
    program = tree / "build/release/cli/kudo-agent"
    if not program.exists():
        tree.mkdir(parents=True, exist_ok=True)
        archive = subprocess.run(["git", "-C", ROOT, "archive", commit], check=True, stdout=subprocess.PIPE).stdout
        subprocess.run(["tar", "-x", "-C", tree], input=archive, check=True)
        run("cmake", "--preset", "release", "-DKUDO_TESTS=OFF", cwd=tree)
        run("cmake", "--build", "--preset", "release", "--target", "kudo-agent", cwd=tree)
    return program


# ---------------------------------------------------------------------------------------------------------------- traffic

class Traffic:
    """Both ends of the line in one process: each datagram is waited for before the next is sent."""

    def __init__(self, far):
        self.own_space = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.far_space = os.open(f"/proc/{far}/ns/net", os.O_RDONLY)
        self.lost, self.rounds, self.marks = {}, 0, set()
        self.strangers = {"in": [0, 0], "out": [0, 0]}  # sent, arrived
        self.kudo = self.socket(self.far_space, KUDO, PORT)
        self.kudo.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        self.media = self.socket(self.own_space, OWN, 50000)
        # Whose host says something once, and then only listens.
        self.silent = self.socket(self.own_space, OWN, 50001)
        self.connected = self.socket(self.own_space, OWN, 50002)
        self.connected.connect((KUDO, PORT))
        for quiet in (self.silent, self.connected):
            quiet.sendto(b"once", (KUDO, PORT)) if quiet is self.silent else quiet.send(b"once")
            self.receive(self.kudo, "the first datagram")
        self.stranger, self.here = self.socket(self.far_space, STRANGER, 40000), self.socket(self.own_space, OWN, 40001)
        for each in (self.stranger, self.here):
            each.setblocking(False)
        listener = self.socket(self.far_space, KUDO, 443, socket.SOCK_STREAM)
        listener.listen(1)
        self.near_end = self.socket(self.own_space, OWN, 0, socket.SOCK_STREAM)
        self.near_end.connect((KUDO, 443))
        self.far_end = listener.accept()[0]
        for end in (self.near_end, self.far_end):
            end.settimeout(5)
        self.beginning = []  # flows whose first answer is still to come

    def socket(self, space, address, port, kind=socket.SOCK_DGRAM):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(space, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            made = socket.socket(socket.AF_INET, kind)
            made.bind((address, port))
            return made
        finally:
            libc.setns(self.own_space, 0)

    def receive(self, at, what):
        if not select.select([at], [], [], 1)[0]:
            self.lost[what] = self.lost.get(what, 0) + 1
            return
        _, extra, _, _ = at.recvmsg(100, 100)
        self.marks.update(data[0] for level, kind, data in extra if (level, kind) == (socket.IPPROTO_IP, socket.IP_TOS))

    def send_stranger(self, sender, receiver, to, which):
        try:
            sender.sendto(b"stranger", to)
        except PermissionError:  # tc egress drops with an error to the sender
            pass
        self.strangers[which][0] += 1
        self.count_strangers(receiver, which)

    def count_strangers(self, receiver, which):
        while select.select([receiver], [], [], 0)[0]:
            receiver.recv(100)
            self.strangers[which][1] += 1

    def round(self):
        self.send_stranger(self.here, self.stranger, (STRANGER, 40000), "out")
        self.send_stranger(self.stranger, self.here, (OWN, 40001), "in")
        self.media.sendto(b"media", (KUDO, PORT))
        self.receive(self.kudo, "out")
        for name, receiver, port in (("in", self.media, 50000), ("in, where the host only listens", self.silent, 50001),
                                     ("in, connected", self.connected, 50002)):
            self.kudo.sendto(b"media", (OWN, port))
            self.receive(receiver, name)
        for sender, receiver in ((self.far_end, self.near_end), (self.near_end, self.far_end)):
            try:
                sender.send(b"x")
                receiver.recv(1)
            except OSError:
                self.lost["TCP"] = self.lost.get("TCP", 0) + 1
        fresh = self.socket(self.own_space, OWN, 0)
        fresh.sendto(b"begin", (KUDO, PORT))
        self.receive(self.kudo, "the first of a flow")
        self.beginning.append(fresh)
        if len(self.beginning) > 8:
            oldest = self.beginning.pop(0)
            self.kudo.sendto(b"answer", oldest.getsockname())
            self.receive(oldest, "the answer in a new flow")
        self.rounds += 1

    def go_on(self):
        while not select.select([sys.stdin], [], [], 0.001)[0]:
            self.round()
        time.sleep(0.2)
        self.count_strangers(self.stranger, "out")
        self.count_strangers(self.here, "in")
        print(json.dumps({"rounds": self.rounds, "lost": self.lost, "marks": sorted(self.marks), "strangers": self.strangers}))


# --------------------------------------------------------------------------------------------------------------- the kernel

def pinned_ids(pins):
    """Programs and maps: {kind: {id: name}}. Of links the program that they run."""
    found = {"prog": {}, "map": {}}
    for path in pathlib.Path(pins).rglob("*"):
        if not path.is_file() or path.is_symlink():
            continue
        for kind in ("prog", "map", "link"):
            shown = run("bpftool", "-j", kind, "show", "pinned", path, check=False)
            about = json.loads(shown.stdout) if shown.returncode == 0 and shown.stdout.strip() else {}
            if kind == "link" and "prog_id" in about:
                found["prog"][about["prog_id"]] = path.name
            elif kind != "link" and "id" in about and "error" not in about:
                found[kind][about["id"]] = about.get("name", path.name)
    return found


def still_there(ids, kind):
    return {number: name for number, name in ids.items() if run("bpftool", kind, "show", "id", number, check=False).returncode == 0}


def hooks():
    return (run("bpftool", "net", "show", "dev", "eth0").stdout, run("tc", "qdisc", "show", "dev", "eth0").stdout,
            run("tc", "filter", "show", "dev", "eth0", "egress", check=False).stdout)


# ------------------------------------------------------------------------------------------------------------------ a case

class Case:
    def __init__(self, old, new, folder):
        self.new, self.folder, self.old = new, pathlib.Path(folder), pathlib.Path(folder, "kudo-agent-older")
        shutil.copy(old, self.old)
        self.bpffs, self.state = self.folder / "bpf", self.folder / "state"
        self.bpffs.mkdir()
        run("mount", "-t", "bpf", "bpf", self.bpffs)
        self.service = None

    def argv(self, program, *words):
        return [str(word) for word in (program, *words, "--bpffs", self.bpffs, "--state-dir", self.state)]

    def kudo(self, program, *words, **keywords):
        return run(*self.argv(program, *words), **keywords)

    def serve(self, program):
        log = open(self.folder / "service-log", "a", encoding="utf-8")
        words = ("run", "--reconcile-every", "1s", "--drop-folder", self.folder / "drop", "--keys", self.folder / "keys")
        self.service = subprocess.Popen(self.argv(program, *words), stdout=log, stderr=log)

    def stop_service(self):
        if self.service:
            self.service.terminate()
            equal(self.service.wait(60), 0, "the service's exit status")
            self.service = None

    def healthy(self):
        return self.kudo(self.new, "status", check=False).returncode == 0


def layouts(case):
    return sorted(entry.name for entry in (case.bpffs / "kudo-agent").iterdir() if entry.is_dir())


def upgrade(case, enable, way):
    if way == "service":
        case.stop_service()
        case.old.unlink()
        case.serve(case.new)
    else:
        case.old.unlink()
        case.kudo(case.new, *enable)
    eventually(case.healthy, "healthy after the upgrade: " + case.kudo(case.new, "status", check=False).stdout)


def confirmed_case(case, mode, way, hook, far):
    before = hooks()
    enable = ["enable", "--region", "ca", "--mode", mode, *HOOKS[hook], *(["--no-confirm"] if mode == "enforce" else [])]
    case.kudo(case.old, *enable)
    if way == "service":
        case.serve(case.old)
        time.sleep(2)  # it has looked
    old_ids, old_layout = pinned_ids(case.bpffs), layouts(case)

    argv = [sys.executable, __file__, "--traffic", str(far)]
    traffic = subprocess.Popen(argv, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    time.sleep(1.5)
    upgrade(case, enable, way)
    time.sleep(2)
    seen = json.loads(traffic.communicate("\n")[0])
    print(f"    {seen['rounds']} rounds, strangers {seen['strangers']}, marks {seen['marks']}; {old_layout} -> {layouts(case)}", flush=True)

    if seen["lost"]:
        print(case.kudo(case.new, "stats", check=False).stdout)
    equal(seen["lost"], {}, "lost")
    equal(len(seen["marks"]), 1, "one mark all the time")
    for which, (sent, arrived) in seen["strangers"].items():
        equal(arrived, 0 if mode == "enforce" else sent, f"strangers {which} that arrived, of {sent}")
    if layouts(case) != old_layout:
        equal(len(layouts(case)), 1, "layouts")
        for kind in ("prog", "map"):
            gone = {number: name for number, name in old_ids[kind].items() if name not in HANDED_ON}
            eventually(lambda: not still_there(gone, kind), f"{kind}s of the older build are gone: {still_there(gone, kind)}")
    new_ids = pinned_ids(case.bpffs)
    case.stop_service()
    case.kudo(case.new, "disable")
    for kind in ("prog", "map"):
        eventually(lambda: not still_there(new_ids[kind], kind), f"{kind}s are gone after disable: {still_there(new_ids[kind], kind)}")
    equal(hooks(), before, "the interface after disable")
    equal((case.bpffs / "kudo-agent").exists(), False, "pins after disable")


def unconfirmed_case(case, hook):
    """Its deadline is the older program's, and holds."""
    case.kudo(case.old, "enable", "--region", "ca", "--mode", "enforce", *HOOKS[hook], "--confirm-within", f"{DEADLINE}s")
    ends = time.monotonic() + DEADLINE
    case.old.unlink()
    case.serve(case.new)
    reached = lambda: run("ping", "-c", "1", "-W", "1", "-I", OWN, STRANGER, check=False).returncode == 0
    equal(reached(), False, "a stranger is reached before the deadline")
    while not reached():
        if time.monotonic() > ends + 2:
            raise AssertionError("locked out after the deadline")
    print(f"    strangers pass {time.monotonic() - ends:+.1f} s from the deadline", flush=True)
    equal(time.monotonic() > ends - 1, True, "it ended at its deadline")
    case.stop_service()
    case.kudo(case.new, "disable")


def inside(old, new, name):
    run("mount", "--make-rprivate", "/")
    folder = tempfile.mkdtemp()
    run("mount", "-t", "tmpfs", "tmpfs", folder)
    far = set_up_network()
    run("nsenter", f"--net=/proc/{far}/ns/net", "ip", "addr", "add", STRANGER + "/32", "dev", "line")
    case = Case(old, new, folder)
    mode, hook, way = name.split()
    try:
        if way == "unconfirmed":
            unconfirmed_case(case, hook)
        else:
            confirmed_case(case, mode, way, hook, far)
    except AssertionError as error:
        log = case.folder / "service-log"
        raise AssertionError(f"{error}\n{log.read_text() if log.exists() else ''}") from error


def cases(old):
    modes = ["prioritise"]
    if "--confirm-within" in run(old, "enable", "--help").stdout:
        modes.append("enforce")
    found = [f"{mode} {hook} {way}" for mode in modes for hook in HOOKS for way in ("enable", "service")]
    return found + ([f"enforce {hook} unconfirmed" for hook in HOOKS] if "enforce" in modes else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commits", nargs="+", metavar="COMMIT", help="or the path of an older program")
    parser.add_argument("--new", default=ROOT / "build/release/cli/kudo-agent")
    parser.add_argument("--case", default="", help="only the cases whose name has this in it")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("this needs root")
        return 77
    failed = 0
    for commit in options.commits:
        old = pathlib.Path(commit).resolve() if "/" in commit else build(commit)
        print(f"{commit}: {run(old, '--version', check=False).stdout.strip()}", flush=True)
        for name in cases(old):
            if options.case not in name:
                continue
            print("  " + name, flush=True)
            command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, __file__,
                       "--inside", old, options.new, name]
            failed += subprocess.run([str(word) for word in command]).returncode != 0
    print(f"{failed} failed" if failed else "all passed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        if sys.argv[1:2] == ["--traffic"]:
            Traffic(sys.argv[2]).go_on()
        elif sys.argv[1:2] == ["--inside"]:
            inside(*sys.argv[2:])
        else:
            sys.exit(main())
    except AssertionError as error:
        print(f"    failed: {error}", file=sys.stderr)
        sys.exit(1)
