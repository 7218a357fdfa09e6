#!/usr/bin/env python3
"""Boots a Debian with systemd in a container and installs the package there; enables, boots again, removes: boot.py DEB

The container has this machine's files under an overlay in memory, and an interface and a bpffs of its own, which are new
after each boot. A member of the group kudo-agent asks the service there, and so does somebody else. systemd-nspawn (package
systemd-container) runs it; no service of this machine is in it.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

# Each runs in the container once it is up, and prints what is compared below. host0: the interface that nspawn makes.
FIRST = """
dpkg -i /share/package.deb >&2
show installed.service "$(systemctl is-active kudo-agent)"
show installed.enabled "$(systemctl is-enabled kudo-agent kudo-agent-restore | sort -u)"
kudo-agent status >&2; show installed.status $?
kudo-agent enable --region ca --interface host0 --uplink 100mbit >&2; show enable $?
service=/proc/$(systemctl show -p MainPID --value kudo-agent)/status
show service.user "$(stat -c %U $service)"
show service.capabilities "$(sed -n 's/^CapEff:\\t//p' $service)"
show service.bounding "$(sed -n 's/^CapBnd:\\t//p' $service)"
show service.no_new_privileges "$(sed -n 's/^NoNewPrivs:\\t//p' $service)"
show pins "$(stat -c '%U %a' /sys/fs/bpf/kudo-agent)"
tc qdisc del dev host0 root # which the service has to correct: it saves what is there in /sys/fs/bpf
systemctl restart kudo-agent; show restart $?
for ((i = 0; i < 100; i++)); do ! kudo-agent status >/dev/null || break; sleep 0.1; done
kudo-agent status >&2; show status $?
entry() { journalctl -q -n 1 -o json "$@"; }
for ((i = 0; i < 300; i++)); do [ -z "$(entry KUDO_INTERFACE=host0)" ] || break; sleep 0.1; done
show journal "$(entry KUDO_INTERFACE=host0 | python3 -c "import json, sys; entry = json.loads(sys.stdin.readline() or '{}'); print(
    *(entry.get(name) for name in ('PRIORITY', 'SYSLOG_IDENTIFIER', 'KUDO_INSTANCE', '_SYSTEMD_UNIT')))")"
show log "$(journalctl -q -t kudo-agent -p warning -o cat | grep -v 'cannot be resolved')"
useradd member; useradd outsider; adduser --quiet member kudo-agent
as() { runuser -u "$1" -- kudo-agent "${@:2}"; }
field() { python3 -c "import functools, json, operator, sys
print(functools.reduce(operator.getitem, sys.argv[1:], json.load(sys.stdin)))" "$@"; }
show socket "$(stat -c '%U %G %a' /run/kudo-agent/query.sock)"
show member.status "$(as member status --json | field healthy)"
show member.stats "$(as member stats --json | field services media egress packets)"
show member.explain "$(as member explain 3.123.12.129 udp/3478 --json | field regions)"
as member report --for 0 -o /tmp/report.html >&2; show member.report "$? $(stat -c '%U %a' /tmp/report.html)"
show member.page "$(as member report --show /tmp/report.html | head -n 1)"
refused() { local said; said=$(as "$@" 2>&1); echo "$? $(grep -o 'not permitted\|query.sock: .*' <<<"$said" | paste -sd ' ')"; }
show member.enable "$(refused member enable --region us)"
show outsider.enable "$(refused outsider enable --region us)"
for command in status stats "report --for 0 -o /tmp/none.html"; do show "outsider.${command%% *}" "$(refused outsider $command)"; done
show outsider.explain "$(as outsider explain 3.123.12.129 udp/3478 2>&1 | grep -o 'note: this user may not read.*built-in ones')"
show outsider.page "$(ls /tmp/none.html 2>/dev/null)"
show regions "$(kudo-agent status --json | field regions)"
systemd-run --wait --quiet -u wrong kudo-agent run --reconcile-every 1d; show wrong $?
show wrong.priority "$(entry -u wrong _COMM=kudo-agent | python3 -c "import json, sys; print(json.loads(sys.stdin.readline())['PRIORITY'])")"
"""
SECOND = """
show restore "$(systemctl show -p Result --value kudo-agent-restore)"
restored=$(systemctl show -p ExecMainExitTimestampMonotonic --value kudo-agent-restore)
network=$(systemctl show -p ActiveEnterTimestampMonotonic --value network-pre.target)
show before_the_network $((restored > 0 && restored < network))
kudo-agent status >&2; show status $?
show service "$(systemctl is-active kudo-agent)"
show log "$(journalctl -q -b -t kudo-agent -p warning -o cat)"
dpkg -r kudo-agent >&2; show remove $?
show left.pins "$(ls /sys/fs/bpf | grep -v debug)"
show left.bpffs "$(stat -c '%G %a' /sys/fs/bpf)"
show left.units "$(systemctl list-units --all --plain --no-legend "kudo-agent*" | grep -v not-found)"
dpkg -P kudo-agent >&2; show purge $?
show left.files "$(ls -d /var/lib/kudo-agent /var/log/kudo-agent /etc/kudo-agent 2>/dev/null)"
"""
REFUSED = "5 not permitted query.sock: Permission denied"
WANTED = ({"installed.service": "active", "installed.enabled": "enabled", "installed.status": "3", "enable": "0",
           "service.user": "kudo-agent", "service.capabilities": "000000c000001000", "service.bounding": "000000c000001000",
           "service.no_new_privileges": "1", "pins": "kudo-agent 700", "restart": "0", "status": "0",
           "journal": "6 kudo-agent /var/lib/kudo-agent kudo-agent.service", "log": "",
           "socket": "kudo-agent kudo-agent 660", "member.status": "True", "member.stats": "0", "member.explain": "['ca']",
           "member.report": "0 member 600", "member.page": "There is no traffic with KUDO yet.", "member.enable": "5 not permitted",
           "outsider.enable": "5 not permitted", "outsider.status": REFUSED, "outsider.stats": REFUSED, "outsider.report": REFUSED,
           "outsider.explain": "note: this user may not read the rules of this host, so these are the built-in ones",
           "outsider.page": "", "regions": "['ca']", "wrong": "2", "wrong.priority": "3"},
          {"restore": "success", "before_the_network": "1", "status": "0", "service": "active", "log": "", "remove": "0",
           "left.pins": "", "left.bpffs": "root 1700", "left.units": "", "purge": "0", "left.files": ""})
UNIT = """[Unit]
After=multi-user.target
[Service]
ExecStart=/bin/bash /share/script
StandardOutput=file:/share/output
StandardError=file:/share/log
"""
# What configures the network, as ifupdown would.
NETWORK = """[Unit]
DefaultDependencies=no
Wants=network.target
After=local-fs.target network-pre.target
Before=network.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'ip link set host0 up; ip addr add 3.123.12.130/28 dev host0; ip route add default via 3.123.12.129'
"""


def run(*argv):
    subprocess.run([str(word) for word in argv], check=True)


def make_root(folder, package):
    for name in ("upper", "work", "root", "share"):
        (folder / name).mkdir()
    root = folder / "root"
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work", root)
    shutil.copy(package, folder / "share/package.deb")
    (root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
    system = root / "etc/systemd/system"
    for wants in list(system.glob("*.wants")):
        shutil.rmtree(wants)  # in the overlay: what is installed here does not start there
    (system / "kudo-test.service").write_text(UNIT)
    (system / "multi-user.target.wants").mkdir()
    (system / "multi-user.target.wants/kudo-test.service").symlink_to("../kudo-test.service")
    (system / "kudo-test-network.service").write_text(NETWORK)
    (system / "multi-user.target.wants/kudo-test-network.service").symlink_to("../kudo-test-network.service")
    return root


# What the script has shown.
def boot(folder, root, script, seconds=180):
    share, bpffs = folder / "share", folder / "bpffs"
    show = 'show() { python3 -c "import json, sys; print(json.dumps(sys.argv[1:3]), flush=True)" "$@"; }\n'
    (share / "script").write_text(show + script + "systemctl poweroff\n")
    (share / "output").write_text("")
    bpffs.mkdir(exist_ok=True)
    run("mount", "-t", "bpf", "bpf", bpffs, "-o", "mode=0700")
    command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--directory={root}", f"--bind={share}:/share",
               f"--bind={bpffs}:/sys/fs/bpf", "--network-veth", "--machine=kudo", "--capability=all",
               "--system-call-filter=bpf perf_event_open", "--boot"]
    environment = {**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
    with open(folder / "console", "a") as console:
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment, timeout=seconds)
        except subprocess.TimeoutExpired:
            pass
    run("umount", bpffs)
    found = dict(json.loads(line) for line in (share / "output").read_text().splitlines())
    if not found:
        print("a container cannot be booted here:", (folder / "console").read_text()[-500:])
    return found


def check(folder, found, wanted, what):
    """What is not as wanted is said, with the logs."""
    wrong = {name: found.get(name) for name, value in wanted.items() if found.get(name) != value}
    print(f"{what}: {len(wanted) - len(wrong)} of {len(wanted)} as they should be", flush=True)
    for name, value in wrong.items():
        print(f"  {name}: {value!r} instead of {wanted[name]!r}", file=sys.stderr)
    if wrong:
        print((folder / "share/log").read_text()[-12000:], (folder / "console").read_text()[-500:], file=sys.stderr)
    return not wrong


def main(file, arguments, inside, needed=()):
    """inside(package, folder): what `file` does in namespaces of its own, where the folder is in memory. True: all right; None: it
    cannot be done here."""
    if arguments[:1] == ["--inside"]:
        package, folder = map(pathlib.Path, arguments[1:])
        run("mount", "--make-rprivate", "/")
        run("mount", "-t", "tmpfs", "tmpfs", folder)
        return {True: 0, False: 1, None: 77}[inside(package, folder)]
    package = pathlib.Path(arguments[0]).resolve()
    missing = [name for name in ("systemd-nspawn", *needed) if not shutil.which(name)]
    if not package.exists():
        missing.append(f"{package} (./bootstrap deb makes it)")
    if missing or os.geteuid() != 0:
        print("there is no " + ", no ".join(missing) if missing else "this needs root")
        return 77
    folder = tempfile.mkdtemp(dir="/run")  # nspawn hides /tmp
    # A process namespace of its own: nothing of the container outlives this.
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, file, "--inside", package,
               folder]
    try:
        return subprocess.run([str(word) for word in command]).returncode
    finally:
        os.rmdir(folder)  # what was in it was mounted in there, and is gone


def twice(package, folder):
    root = make_root(folder, package)
    for name, script, wanted in zip(("install and enable", "boot again, remove and purge"), (FIRST, SECOND), WANTED):
        found = boot(folder, root, script)
        if not found and script == FIRST:
            return None
        if not check(folder, found, wanted, name):
            return False
    return True


if __name__ == "__main__":
    sys.exit(main(__file__, sys.argv[1:], twice))
