#!/usr/bin/env python3
"""Installs, upgrades under traffic, restores after a boot, removes and purges the Debian package: package.py DEB

On a machine of its own: this one's files under an overlay in memory, with a bpffs, network and process namespaces of its
own. What of systemd the package's scripts need is tests/package/systemctl.
"""
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "docs"))
from docs import broken_links

KUDO, OWN, PORT = "3.123.12.129", "3.123.12.130", 3478  # a media range of the built-in map
STATE, PINS = "/var/lib/kudo-agent", "/sys/fs/bpf/kudo-agent"

# What installed pages lead to and the package does not have.
NOT_INSTALLED = {
    "CHANGELOG.md": "Debian's name of it is changelog.gz", "LICENSE": "it is in the file copyright",
    "DEVELOPING.md": "it is for work on the tree", "docs/decisions": "so are these", "bpf": "this is the tree's code",
    "vagrant": "the lab runs from the tree", "packaging/ansible": "the role is not for the host that has the package",
}

# Sends a datagram every 2 ms until its input ends, then prints how many.
TRAFFIC = f"""
import select, socket, sys, time
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sent = 0
while not select.select([sys.stdin], [], [], 0.002)[0]:
    line.sendto(b"x" * 100, ("{KUDO}", {PORT}))
    sent += 1
print(sent)
"""


def run(*argv, check=True, **keywords):
    done = subprocess.run([str(word) for word in argv], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **keywords)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))}: exit status {done.returncode}\n{done.stdout}")
    return done


def equal(found, wanted, what):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r} instead of {wanted!r}")


def eventually(condition, what):
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never: {what}")
        time.sleep(0.05)


class Machine:
    def __init__(self, folder):
        self.root, self.changed = pathlib.Path(folder, "root"), pathlib.Path(folder, "upper")
        run("mount", "-t", "tmpfs", "tmpfs", folder)
        for name in ("upper", "work", "root"):
            pathlib.Path(folder, name).mkdir()
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work", self.root)
        run("mount", "-t", "proc", "proc", self.root / "proc")
        run("mount", "-t", "sysfs", "sysfs", self.root / "sys")
        for name in ("run", "tmp", "dev"):
            run("mount", "-t", "tmpfs", "tmpfs", self.root / name)
        for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
            os.mknod(self.root / "dev" / name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
            os.chmod(self.root / "dev" / name, 0o666)
        self.mount_bpffs()
        (self.root / "run/systemd/system").mkdir(parents=True)
        shutil.copy("/usr/bin/systemctl", self.root / "usr/local/bin/real-systemctl")
        for source, target in ((HERE / "systemctl", "usr/bin/systemctl"), (HERE.parent / "support/as_unit", "usr/local/bin/as_unit")):
            (self.root / target).unlink(missing_ok=True)
            shutil.copy(source, self.root / target)
        (self.root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
        for folder_name in ("etc/kudo-agent", "var/lib/kudo-agent"):
            shutil.rmtree(self.root / folder_name, ignore_errors=True)

    def mount_bpffs(self):
        run("mount", "-t", "bpf", "bpf", self.root / "sys/fs/bpf", "-o", "mode=0700")

    def run(self, *argv, **keywords):
        return run("chroot", self.root, *argv, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}, **keywords)

    def kudo(self, *argv, **keywords):
        return self.run("kudo-agent", *argv, **keywords)

    # dpkg, with the package file copied in.
    def dpkg(self, option, package):
        if option == "-i":
            package = "/tmp/" + pathlib.Path(shutil.copy(package, self.root / "tmp")).name
        return self.run("dpkg", option, package).stdout

    def path(self, path):
        return self.root / path.lstrip("/")

    # What has been changed, made or deleted since the machine was made, but for the records of dpkg and others.
    def changes(self):
        records = ("var/lib/dpkg", "var/log", "var/cache", "var/lib/systemd", "etc/.pwd.lock")
        found = {str(path.relative_to(self.changed)) for path in self.changed.rglob("*")}
        # A folder in which something was changed is there as well.
        return {path for path in found if not path.startswith(records) and not
                ((self.changed / path).is_dir() and pathlib.Path("/", path).is_dir())}

    def kernel(self):
        return {what: self.run(*command).stdout for what, command in (
            ("queues", ("tc", "qdisc", "show", "dev", "eth0")), ("filters", ("tc", "filter", "show", "dev", "eth0", "egress")),
            ("link", ("ip", "-o", "link", "show", "eth0")), ("sets", ("nft", "list", "ruleset")))}

    def service(self):
        return int(self.path("/run/kudo-agent.test-pid").read_text())

    def media(self):
        stats = json.loads(self.kudo("stats", "--json").stdout)
        return stats["services"]["media"]["egress"]["packets"]


def bumped(package, folder):
    tree = pathlib.Path(folder, "bumped")
    run("dpkg-deb", "-R", package, tree)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace("\nVersion: ", "\nVersion: 1:"))
    result = pathlib.Path(folder, "bumped.deb")
    run("dpkg-deb", "-b", tree, result)
    return result


def set_up_network():
    run("ip", "link", "set", "lo", "up")
    peer = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    eventually(lambda: os.stat(f"/proc/{peer.pid}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino, "a peer")
    run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "line", "netns", peer.pid)
    run("ip", "addr", "add", f"{OWN}/28", "dev", "eth0")
    run("ip", "link", "set", "eth0", "up")
    for words in (f"addr add {KUDO}/28 dev line", "link set line up", "link set lo up"):
        run("nsenter", f"--net=/proc/{peer.pid}/ns/net", "ip", *words.split())
    run("ip", "route", "add", "default", "via", KUDO)
    run("ping", "-c", "1", "-W", "10", KUDO)
    return peer.pid


def check_installed(machine):
    eventually(lambda: machine.run("systemctl", "is-active", "kudo-agent.service", check=False).returncode == 0, "the service runs")
    for unit in ("kudo-agent.service", "kudo-agent-restore.service"):
        equal(machine.run("systemctl", "is-enabled", unit).stdout.strip(), "enabled", unit)
    equal(machine.path(PINS).exists(), False, "the installation attaches something")
    equal(machine.kudo("status", check=False).returncode, 3, "status of what is not enabled")
    equal(machine.run("dpkg-query", "-W", "-f", "${Conffiles}", "kudo-agent").stdout.split()[0], "/etc/kudo-agent/kudo-agent.toml",
          "the configuration file")
    equal(machine.kudo("run", "--check").stdout, "the configuration is valid\n", "the configuration")
    for page in ("kudo-agent", "kudo-agent-enable", "kudo-agent.toml"):
        machine.run("man", "-w", page)
    for file in ("bash-completion/completions/kudo-agent", "zsh/vendor-completions/_kudo-agent",
                 "fish/vendor_completions.d/kudo-agent.fish", "doc/kudo-agent/README.md", "doc/kudo-agent/changelog.gz",
                 "doc/kudo-agent/copyright"):
        equal(machine.path("/usr/share/" + file).exists(), True, file)


# What the unit, the pages and docs/metrics.md say of installed files.
def check_documentation(package):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        run("dpkg-deb", "-x", package, root)
        pages = root / "usr/share/doc/kudo-agent"
        for unit in sorted((root / "lib/systemd/system").iterdir()):
            for place in " ".join(re.findall(r"^Documentation=(.*)", unit.read_text(), re.M)).split():
                manual = re.fullmatch(r"man:(.+)\((\d)\)", place)
                path = "usr/share/man/man{1}/{0}.{1}.gz".format(*manual.groups()) if manual else place.removeprefix("file:/")
                equal((root / path).is_file(), True, f"{unit.name}: {place}")
        dead, unused = [], set(NOT_INSTALLED)
        for problem in broken_links(pages):
            page, link, _ = problem.split(": ", 2)
            target = os.path.normpath(os.path.join(os.path.dirname(page), link.partition("#")[0]))
            known = {path for path in NOT_INSTALLED if target == path or target.startswith(path + "/")}
            unused -= known
            dead += [] if known else [problem]
        equal((dead, unused), ([], set()), "links of installed pages, and what they need not have")
        if shutil.which("promtool"):
            run("promtool", "test", "rules", "kudo-agent.test.yml", cwd=pages / "prometheus")
        else:
            print("  without promtool")


def as_the_user(machine, what):
    user = machine.run("id", "-u", "kudo-agent").stdout.strip()
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{machine.service()}/status").read_text().splitlines() if ":\t" in line)
    equal(status["Uid"].split()[1], user, what + ": the service's user")
    equal(status["CapEff"], "000000c000001000", what + ": CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF")
    for path in (STATE, PINS):
        eventually(lambda: str(machine.path(path).stat().st_uid) == user, f"{what}: {path} is the user's")


def upgrade_under_traffic(machine, package, what):
    before, first = machine.media(), machine.service()
    traffic = subprocess.Popen([sys.executable, "-c", TRAFFIC], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    time.sleep(0.5)
    machine.dpkg("-i", package)
    time.sleep(1)  # the new service has looked at all there is
    sent = int(traffic.communicate("\n")[0])
    eventually(lambda: machine.kudo("status", check=False).returncode == 0, f"{what}: healthy")
    equal(machine.service() != first, True, f"{what}: the service was restarted")
    equal(machine.media() - before, sent, f"{what}: counted of what was sent")
    return sent


def boot_again(machine):
    machine.run("systemctl", "stop", "kudo-agent.service")
    run("umount", machine.root / "sys/fs/bpf")
    machine.mount_bpffs()
    run("tc", "qdisc", "del", "dev", "eth0", "root")  # what outlives pins, but no boot
    for direction in ("ingress", "egress"):
        run("tc", "filter", "del", "dev", "eth0", direction, check=False)
    equal(machine.kudo("status", check=False).returncode, 4, "status after a boot")
    began = time.monotonic()
    equal(machine.kudo("run", "--restore", "--user", "kudo-agent").stdout, "restored: generation 1, 1 interface\n", "restoring")
    print(f"  restored in {time.monotonic() - began:.2f} s")
    equal(machine.kudo("status", check=False).returncode, 0, "status after restoring")
    machine.run("systemctl", "start", "kudo-agent.service")
    eventually(lambda: machine.kudo("status", check=False).returncode == 0, "healthy with the service")


def inside(package, folder):
    machine = Machine(folder)
    try:
        live(machine, package, folder)
    except AssertionError as error:
        logs = [path for path in map(machine.path, ("/run/kudo-agent.test-log", "/run/systemctl.test-log")) if path.exists()]
        raise AssertionError("\n".join([str(error), *(f"{path.name}:\n{path.read_text()}" for path in logs)]))


def live(machine, package, folder):
    set_up_network()
    changes, kernel = machine.changes(), machine.kernel()

    print("install")
    began = time.monotonic()
    machine.dpkg("-i", package)
    machine.kudo("enable", "--region", "ca", "--uplink", "20mbit", "--state-dir", "/tmp/other", "--bpffs", "/sys/fs/bpf/other")
    print(f"  from dpkg -i to enabled: {time.monotonic() - began:.1f} s")
    machine.kudo("disable", "--state-dir", "/tmp/other", "--bpffs", "/sys/fs/bpf/other")
    check_installed(machine)
    machine.kudo("enable", "--region", "ca", "--uplink", "20mbit")
    machine.kudo("firewall", "sync")
    as_the_user(machine, "enabled")

    print("upgrade under traffic")
    count = upgrade_under_traffic(machine, package, "the same version")
    count += upgrade_under_traffic(machine, bumped(package, folder), "a newer version")
    print(f"  {count} packets sent, all of them counted")
    as_the_user(machine, "upgraded")

    print("boot")
    boot_again(machine)

    print("remove")
    machine.dpkg("-r", "kudo-agent")
    equal(machine.kernel(), kernel, "the kernel after the removal")
    own = {"maps.debug", "progs.debug"}  # the kernel's, in every bpffs
    equal({entry.name for entry in machine.path("/sys/fs/bpf").iterdir()} - own, set(), "pins")
    about = machine.path("/sys/fs/bpf").stat()
    equal((oct(about.st_mode & 0o777), about.st_gid), ("0o700", 0), "/sys/fs/bpf")
    equal(machine.path("/etc/kudo-agent/kudo-agent.toml").exists(), True, "the configuration stays until purge")
    equal(machine.path(STATE).exists(), True, "the state stays until purge")

    print("purge")
    machine.dpkg("-P", "kudo-agent")
    # The user stays, as system users do.
    users = {f"etc/{name}{kept}" for name in ("passwd", "shadow", "group", "gshadow") for kept in ("", "-")}
    equal(machine.changes() - changes - users, set(), "files after the purge")
    log = machine.path("/run/kudo-agent.test-log").read_text()
    equal([line for line in log.splitlines() if "error" in line], [], "errors of the service")


def main(arguments):
    if arguments[:1] == ["--inside"]:
        run("mount", "--make-rprivate", "/")
        inside(pathlib.Path(arguments[1]), arguments[2])
        return 0
    package = pathlib.Path(arguments[0]).resolve()
    if not package.exists():
        print(f"{package} has not been made: ./bootstrap deb")
        return 77
    if os.geteuid() != 0:
        print("this needs root")
        return 77
    print("lintian")
    changes = package.with_suffix(".changes")  # names all that was made with it, also the debugging symbols
    found = run("lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", changes, check=False)
    equal((found.returncode, found.stdout), (0, ""), "lintian")
    print("documentation")
    check_documentation(package)
    folder = tempfile.mkdtemp()
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, __file__, "--inside", package, folder]
    try:
        return subprocess.run([str(word) for word in command]).returncode
    finally:
        os.rmdir(folder)  # all that was in it was mounted in there, and is gone


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AssertionError as error:
        print(f"package: {error}", file=sys.stderr)
        sys.exit(1)
