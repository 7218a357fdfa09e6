#!/usr/bin/env python3
"""Boots a fresh Debian 12 in software emulation and lives a package's life there: vm.py DEB

    tests/package/vm.py build/deb/kudo-agent.deb

Installs by apt, enables, boots again, upgrades under traffic, removes and purges, as root of a machine of its own, with Debian's
kernel, initramfs, systemd, udev and ifupdown. The line of its network card ends in this script (Line), which counts what is on it:
by that the guest's counters and marks are judged. Nothing of it is on any network of this machine.

The Debian is made once, by mmdebstrap from the mirror that this machine uses, and kept in build/vm with the packages that the
package depends on; remove that folder to get a newer one. Needs root, and the packages qemu-system-x86 mmdebstrap e2fsprogs
dpkg-dev debian-archive-keyring. Exit status 0: all steps pass; 1: one does not; 77: it cannot be done here.
"""
import base64
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from package import bumped, run

CACHE = pathlib.Path(__file__).resolve().parents[2] / "build/vm"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# What Debian's installer puts on a server, as far as it matters here.
PACKAGES = ["systemd-sysv", "udev", "dbus", "ifupdown", "iproute2", "nftables", "kmod", "procps", "linux-image-amd64", "initramfs-tools"]
KUDO, OWN, PORT = "3.123.12.129", "3.123.12.130", 3478  # a media range of the built-in map
KUDO_MAC, OWN_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
NIC = "ens3"

FILES = {
    "etc/hostname": "fresh\n",
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\n/dev/vdb /share ext4 ro 0 0\n",
    "etc/network/interfaces": f"auto lo\niface lo inet loopback\nauto {NIC}\niface {NIC} inet static\n"
                              f"    address {OWN}/28\n    gateway {KUDO}\n",
    # The emulated machine is some twenty times slower than a real one: the deadlines go with it.
    "etc/systemd/system/kudo-agent-restore.service.d/emulated.conf": """[Service]
TimeoutStartSec=400
ExecStartPre=
ExecStartPre=-udevadm settle --timeout=200
""",
    # Its packages come from a disk: there is no way to a mirror, and no download is timed.
    "etc/apt/sources.list": "deb [trusted=yes] file:/share/packages ./\n",
    # A command a line, in base64; the answer is its exit status and output.
    "usr/local/lib/control": """exec 3<>/dev/virtio-ports/control
echo "ready $(</proc/sys/kernel/random/boot_id)" >&3
while read -r line <&3; do
    output=$(bash -c "$(base64 -d <<<"$line")" </dev/null 2>&1)
    status=$?
    echo "$status $(base64 -w 0 <<<"$output")" >&3
done
""",
    "etc/systemd/system/control.service": """[Service]
ExecStart=/bin/bash /usr/local/lib/control
Environment=LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive HOME=/root
[Install]
WantedBy=multi-user.target
""",
    # From the first moment on at which there is a route: its packets are the first of the network.
    "usr/local/lib/traffic": f"""exec 4<> <(:)
until exec 3>/dev/udp/{KUDO}/{PORT}; do read -rt 0.02 -u 4; done 2>/dev/null
for ((number = 0; ; number++)); do
    echo "$number" >&3
    # Each byte is a datagram: the rest of it is dropped. One that reads nothing loses what comes in, and status says so.
    while read -rt 0 -u 3; do read -rN 1 -t 0.01 -u 3; done
    read -rt 0.01 -u 4
done
""",
    "etc/systemd/system/traffic.service": """[Unit]
DefaultDependencies=no
After=local-fs.target
Conflicts=shutdown.target
[Service]
ExecStart=/bin/bash /usr/local/lib/traffic
[Install]
WantedBy=sysinit.target
""",
}

# What must be as before, each a command.
RECORDED = {
    "tc": f"tc qdisc show; for way in ingress egress; do tc filter show dev {NIC} $way; done",
    "ip": "ip -o -d link; ip -o addr | sed 's/valid_lft.*//; s/ tentative//'; ip route; ip rule",
    "bpffs": "stat -c '%A %U %G %n' /sys/fs/bpf; ls /sys/fs/bpf",
    "nft": "nft list ruleset",
    "units": "systemctl list-unit-files --no-legend; systemctl list-units --all --plain --no-legend 'kudo*'",
    "files": "find /etc /usr /var/lib -xdev ! -path '/var/lib/dpkg/*' ! -path '/var/lib/apt/*' ! -path '/var/lib/systemd/*' "
             "! -path '/etc/*-' ! -path '*/__pycache__*' | sort",
}


class Impossible(Exception):
    """It cannot be done here."""


# --- The machine.

def mirror():
    found = run("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI) $(COMPONENT)", "Created-By: Packages").stdout.split("\n")
    for line in found:
        release, uri, component = (line.split() + ["", "", ""])[:3]
        if release in ("bookworm", "stable") and component == "main":
            return uri
    raise Impossible("apt's configuration here names no mirror of Debian 12")


def make_debian():
    root = CACHE / "root"
    if (CACHE / "made").exists():
        return root
    shutil.rmtree(CACHE, ignore_errors=True)
    CACHE.mkdir(parents=True)
    print("making a Debian 12", flush=True)
    run("mmdebstrap", "--variant=minbase", "--mode=root", "--dpkgopt=force-unsafe-io", "--include=" + ",".join(PACKAGES), "bookworm", root,
        f"deb [signed-by={KEYRING}] {mirror()} bookworm main")
    for name in ("vmlinuz", "initrd.img"):
        shutil.copy(next((root / "boot").glob(name + "-*")), CACHE / name)
    (CACHE / "made").touch()
    return root


def fetch_dependencies(root, package):
    """The packages that apt would fetch in that Debian, in build/vm/packages, as a mirror that is a folder."""
    folder, wanted = CACHE / "packages", run("dpkg-deb", "-f", package, "Depends").stdout
    if (folder / "wanted").exists() and (folder / "wanted").read_text() == wanted:
        return folder
    print("fetching what the package depends on", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        command = "set -e; mount --make-rprivate /; mount -t tmpfs tmpfs {0}; mkdir {0}/upper {0}/work {0}/root; " \
                  "mount -t overlay overlay -o lowerdir={1},upperdir={0}/upper,workdir={0}/work {0}/root; " \
                  "cp /etc/resolv.conf {0}/root/etc/; cp {2} {0}/root/package.deb; " \
                  "chroot {0}/root apt-get -q update; chroot {0}/root apt-get -q -y --no-install-recommends --download-only " \
                  "install /package.deb; cp {0}/root/var/cache/apt/archives/*.deb {3}"
        run("unshare", "--mount", "bash", "-c", command.format(scratch, root, package, folder))
    found = subprocess.run(["dpkg-scanpackages", "--multiversion", "."], cwd=folder, capture_output=True, text=True, check=True)
    (folder / "Packages").write_text(found.stdout)
    (folder / "wanted").write_text(wanted)
    return folder


def make_disks(folder, package):
    root = make_debian()
    packages = fetch_dependencies(root, package)
    share = folder / "share"
    share.mkdir()
    shutil.copytree(packages, share / "packages")
    shutil.copy(package, share / "kudo-agent.deb")
    shutil.move(bumped(package, folder), share / "newer.deb")
    own = folder / "root"
    # Hard links: only what is written anew is a copy.
    run("cp", "-al", root, own)
    for name, text in FILES.items():
        path = own / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
    (own / "share").mkdir(exist_ok=True)
    run("chroot", own, "systemctl", "enable", "control.service")
    for name, source, size in (("system", own, "4G"), ("share", share, "512M")):
        run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", source, folder / f"{name}.img", size)
    shutil.rmtree(own)


class Line:
    """The far end of the guest's line: KUDO's server at KUDO's address. It answers ARP, takes what is sent to KUDO, and answers
    each of the guest's frames, the very first one too, with a packet of KUDO's, so that something comes in from then on."""

    def __init__(self, path):
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen()
        self.lock = threading.Lock()
        self.clear()
        threading.Thread(target=self.serve, daemon=True).start()

    def clear(self):
        with self.lock:
            self.frames, self.out, self.sent, self.marks, self.numbers, self.answers = 0, 0, 0, {}, [], True

    def state(self):
        with self.lock:
            return self.frames, self.out, self.sent, dict(self.marks), list(self.numbers)

    def serve(self):
        line, _ = self.server.accept()
        stream = line.makefile("rb")
        while head := stream.read(4):
            frame = stream.read(struct.unpack("!I", head)[0])
            with self.lock:
                reply = self.take(frame)
                for out in reply:
                    line.sendall(struct.pack("!I", len(out)) + out)

    def take(self, frame):
        self.frames += 1
        out = []
        if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\1" and frame[38:42] == socket.inet_aton(KUDO):
            out.append(OWN_MAC + KUDO_MAC + frame[12:20] + b"\0\2" + KUDO_MAC + frame[38:42] + frame[22:32])
        elif frame[12:14] == b"\x08\0" and frame[30:34] == socket.inet_aton(KUDO):
            # ICMP errors to KUDO, of which the kernel sends a few when nobody listens, count too; it marks them itself, CS6.
            self.out += 1
            source, port = struct.unpack("!HH", frame[34:38])
            if frame[23] == 17 and port == PORT:
                mark = frame[15] >> 2
                self.marks[mark] = self.marks.get(mark, 0) + 1
                self.numbers.append(int(frame[42:14 + struct.unpack("!H", frame[16:18])[0]]))
                self.port = source
        # Not of errors, which would be an answer to each answer.
        if self.answers and not (frame[12:14] == b"\x08\0" and frame[23] == 1):
            out.append(self.packet())
            self.sent += 1
        return out

    port = 40000

    def packet(self):
        udp = struct.pack("!HHHH", PORT, self.port, 8 + 4, 0) + b"KUDO"
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + socket.inet_aton(KUDO) + socket.inet_aton(OWN)
        total = sum(struct.unpack("!10H", head))
        total = (total & 0xffff) + (total >> 16)
        return OWN_MAC + KUDO_MAC + b"\x08\0" + head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + head[12:] + udp


class Guest:
    def __init__(self, folder, line):
        self.folder = folder
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(folder / "control"))
        server.listen()
        # Without cx16 and la57: see tests/kernels/run.
        self.process = subprocess.Popen([
            "qemu-system-x86_64", "-no-user-config", "-nodefaults", "-machine", "pc", "-accel", "tcg,thread=multi", "-cpu",
            "max,la57=off,cx16=off", "-smp", "2", "-m", "1536", "-display", "none", "-rtc", "base=utc",
            "-kernel", str(CACHE / "vmlinuz"), "-initrd", str(CACHE / "initrd.img"),
            "-append", "root=/dev/vda rw console=ttyS0 loglevel=6 panic=-1 random.trust_cpu=on",
            "-drive", f"file={folder}/system.img,format=raw,if=virtio,cache=unsafe",
            "-drive", f"file={folder}/share.img,format=raw,if=virtio,readonly=on",
            "-netdev", f"stream,id=line,server=off,addr.type=unix,addr.path={line}",
            "-device", f"virtio-net-pci,netdev=line,mac={OWN_MAC.hex(':')},romfile=,addr=3",
            "-device", "virtio-serial", "-chardev", f"socket,id=control,path={folder}/control",
            "-device", "virtserialport,chardev=control,name=control",
            "-chardev", f"file,id=console,path={folder}/console", "-serial", "chardev:console"])
        control, _ = server.accept()
        control.settimeout(900)
        self.control, self.stream = control, control.makefile("rb")

    def boot(self):
        """Waits until it is up."""
        began = time.monotonic()
        while not self.stream.readline().startswith(b"ready "):
            pass
        self("systemctl is-system-running --wait")
        return time.monotonic() - began

    def starts(self):
        return (self.folder / "console").read_bytes().count(b"Linux version")

    def send(self, command):
        self.control.sendall(base64.b64encode(command.encode()) + b"\n")

    def __call__(self, command):
        """Exit status and output."""
        self.send(command)
        status, output = (self.stream.readline().split() + [b"", b""])[:2]
        return int(status), base64.b64decode(output).decode(errors="replace").strip()

    def get(self, command):
        return self(command)[1]

    def media(self):
        """What kudo-agent has counted for the service media: packets out and in."""
        status, text = self("kudo-agent stats --json")
        media = json.loads(text)["services"].get("media", {}) if status in (0, 4) else {}
        return tuple(media.get(way, {}).get("packets", 0) for way in ("egress", "ingress"))

    known_drops = 0

    def dropped(self):
        """Outgoing packets that this host has dropped since the last time, by stats, which begins anew with a boot; and where."""
        rows = [drop for drop in json.loads(self("kudo-agent stats --json")[1])["drops"] if drop["loss"] and drop["egress"]["packets"]]
        known, self.known_drops = self.known_drops, sum(row["egress"]["packets"] for row in rows)
        where = [f"{row['layer']}, {row['reason']} in {row['place']}" for row in rows]
        return self.known_drops - (known if known <= self.known_drops else 0), where

    def recorded(self):
        return {name: self.get(command) for name, command in RECORDED.items()}

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Steps:
    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, what, found, wanted):
        if found == wanted:
            self.passed += 1
            print(f"pass  {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL  {what}: {repr(found)[:400]} instead of {repr(wanted)[:400]}", flush=True)
        return found == wanted


def say(what):
    print(f"      {what}", flush=True)


# --- The package's life.

def quiet(guest, line):
    """Ends the traffic. What the line has seen from its clear() on, once nothing more comes."""
    with line.lock:
        line.answers = False
    guest("systemctl stop traffic")
    before = None
    while before != line.state()[0]:
        before = line.state()[0]
        time.sleep(1)
    return line.state()


def install(guest, line, steps):
    began = time.monotonic()
    status, output = guest("apt-get -q update && apt-get -q -y --no-install-recommends install /share/kudo-agent.deb")
    if not steps.check("apt-get install", status, 0):
        print(output)
    took = time.monotonic() - began
    steps.check("perf_event_paranoid as Debian has it", guest.get("sysctl -n kernel.perf_event_paranoid"), "3")
    steps.check("the service runs", guest("systemctl is-active kudo-agent.service"), (0, "active"))
    steps.check("nothing is attached before enable", guest("kudo-agent status >/dev/null; echo $?")[1], "3")
    quiet(guest, line)
    status, output = guest("kudo-agent enable --region ca")
    if not steps.check("kudo-agent enable --region ca", status, 0):
        print(output)
    line.clear()
    guest("systemctl enable --now traffic")
    while guest.media()[0] == 0 and time.monotonic() < began + 600:
        time.sleep(0.1)
    say(f"from apt-get install to the first counted packet: {time.monotonic() - began:.1f} s, of which apt-get {took:.1f} s (emulated)")
    check_status(guest, steps, "status after enable")


def check_service(guest, steps):
    score = guest.get("systemd-analyze security --offline=true /lib/systemd/system/kudo-agent.service | tail -n 1")
    found = re.search(r"kudo-agent.service: ([0-9.]+)", score)
    steps.check("exposure by systemd-analyze security at most 2.0", bool(found) and float(found[1]) <= 2.0, True)
    say(score)
    status = service_status(guest)
    steps.check("CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF and no other", (status.get("CapEff"), status.get("CapBnd")), ("000000c000001000",) * 2)
    steps.check("not root", status.get("Uid", "0").split()[0] != "0", True)


def service_status(guest):
    text = guest.get("cat /proc/$(systemctl show -p MainPID --value kudo-agent.service)/status")
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def check_memory(guest, steps):
    status = service_status(guest)
    say("memory of the service: " + ", ".join(f"{name} {status.get(name, '?').strip()}" for name in ("VmRSS", "RssAnon")))
    steps.check("at most 15 MB of it resident", 0 < int(status.get("VmRSS", "0 kB").split()[0]) <= 15 * 1024, True)


def check_status(guest, steps, what):
    """Healthy at last: the service may have to look first."""
    deadline = time.monotonic() + 60
    status, output = guest("kudo-agent status")
    while status != 0 and time.monotonic() < deadline:
        time.sleep(1)
        status, output = guest("kudo-agent status")
    if not steps.check(what, status, 0):
        print(output)
        print(guest("journalctl -q -b -u kudo-agent -u kudo-agent-restore -o short-monotonic | tail -n 40; tc -d qdisc show; "
                    "ip -d link; dmesg | grep -i qdisc; lsmod | grep sch_; ls -lR /sys/fs/bpf /var/lib/kudo-agent")[1])


def check_counted(guest, line, steps, what, before=(0, 0)):
    """All that was on the line has been counted, and marked alike, and nothing else but what the host dropped behind the counter: while
    an interface is brought up its queue is another's for a moment."""
    _, out, sent, marks, numbers = quiet(guest, line)
    counted = tuple(now - then for now, then in zip(guest.media(), before))
    dropped, where = guest.dropped()
    if dropped:
        say(f"dropped by this host, says stats: {dropped} ({'; '.join(where)})")
    steps.check(f"{what}: counted is what was on the line, {out} out and {sent} in, and what stats says is dropped", counted, (out + dropped, sent))
    lost = sorted(set(range(max(numbers, default=0) + 1)) - set(numbers))
    steps.check(f"{what}: from the first one on none is lost but that: {lost}", len(lost), dropped)
    steps.check(f"{what}: all of them marked alike", len(marks), 1)
    say(f"DSCP: {marks}")
    return marks


def boot_again(guest, line, steps):
    quiet(guest, line)
    began = time.monotonic()
    guest.send("systemctl reboot")
    while guest.starts() < 2:
        time.sleep(0.1)
    line.clear()
    guest.boot()
    took = time.monotonic() - began
    say(f"up again after {took:.0f} s (emulated)")
    moments = {}
    for unit, what in (("kudo-agent-restore.service", "ExecMainExitTimestampMonotonic"),
                       ("network-pre.target", "ActiveEnterTimestampMonotonic"), ("networking.service", "ExecMainStartTimestampMonotonic"),
                       ("kudo-agent.service", "ActiveEnterTimestampMonotonic")):
        moments[unit] = int(guest.get(f"systemctl show -p {what} --value {unit}") or 0)
    say(", ".join(f"{unit} {moment / 1e6:.2f} s" for unit, moment in moments.items()))
    steps.check("restored before network-pre.target", 0 < moments["kudo-agent-restore.service"] < moments["network-pre.target"], True)
    steps.check("kudo-agent-restore.service", guest.get("systemctl show -p Result --value kudo-agent-restore.service"), "success")
    say(guest.get("journalctl -q -b -u kudo-agent-restore.service -o cat").replace("\n", "\n      "))
    check_status(guest, steps, "status after the boot")


def upgrade(guest, line, steps):
    guest("sysctl -q -w kernel.perf_event_paranoid=4")  # as hardened hosts have it: no perf but with CAP_PERFMON
    before = guest.media()
    line.clear()
    guest("systemctl start traffic")
    first = guest.get("systemctl show -p MainPID --value kudo-agent.service")
    status, output = guest("apt-get -q -y --no-install-recommends install /share/newer.deb")
    if not steps.check("apt-get install of a higher version", status, 0):
        print(output)
    guest("sleep 2")
    steps.check("the service is another process", guest.get("systemctl show -p MainPID --value kudo-agent.service") not in (first, "0"), True)
    check_counted(guest, line, steps, "upgrade", before)
    check_status(guest, steps, "status after the upgrade")


def remove(guest, line, steps, before):
    status, output = guest("apt-get -q -y remove kudo-agent")
    if not steps.check("apt-get remove", status, 0):
        print(output)
    status, output = guest("apt-get -q -y purge kudo-agent && apt-get -q -y autoremove --purge")
    if not steps.check("apt-get purge", status, 0):
        print(output)
    guest("rm /etc/systemd/system/sysinit.target.wants/traffic.service; systemctl daemon-reload")
    now = guest.recorded()
    for name, then in before.items():
        gone, new = (sorted(set(a.splitlines()) - set(b.splitlines())) for a, b in ((then, now[name]), (now[name], then)))
        steps.check(f"{name} as before", gone + ["now:"] + new if gone or new else [], [])


def live(folder, package):
    steps, began = Steps(), time.monotonic()
    make_disks(folder, package)
    line = Line(str(folder / "line"))
    guest = Guest(folder, str(folder / "line"))
    try:
        say(f"booted in {guest.boot():.0f} s (emulated): {guest.get('. /etc/os-release; echo $PRETTY_NAME, Linux $(uname -r)')}")
        before = guest.recorded()
        install(guest, line, steps)
        check_service(guest, steps)
        check_counted(guest, line, steps, "enabled")
        boot_again(guest, line, steps)
        check_counted(guest, line, steps, "from the boot's first frame on")
        check_memory(guest, steps)
        upgrade(guest, line, steps)
        remove(guest, line, steps, before)
    except Exception:
        print((folder / "console").read_text(errors="replace")[-3000:], file=sys.stderr)
        raise
    finally:
        guest.end()
    print(f"{steps.passed} of {steps.passed + steps.failed} steps pass, in {time.monotonic() - began:.0f} s")
    return 1 if steps.failed else 0


def main(arguments):
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__)
        return 2
    package = pathlib.Path(arguments[0]).resolve()
    missing = [f"no {tool}" for tool in ("qemu-system-x86_64", "mmdebstrap", "mke2fs", "dpkg-scanpackages") if not shutil.which(tool)]
    missing += [f"no {file}" for file in (package, KEYRING) if not pathlib.Path(file).exists()]
    if missing or os.geteuid() != 0:
        print("there is " + ", ".join(missing) if missing else "this needs root")
        return 77
    CACHE.parent.mkdir(exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vm.", dir=CACHE.parent))
    try:
        return live(folder, package)
    except Impossible as why:
        print(why)
        return 77
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
