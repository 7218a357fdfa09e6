#!/usr/bin/env python3
"""How a real browser's connections are named: names.py [PROGRAM]

Chromium opens pages of a name of the map and of another one, in network namespaces of its own, with names from plain DNS, from DNS
over HTTPS (unbound as dns.google), and by QUIC; kudo-agent (build/release) must count what docs/names.md says of each. Takes the
packages chromium, libnss3-tools, unbound, openssl; not part of CI, since the browser is larger than all the rest together.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
OWN, GATEWAY, RESOLVER = "10.77.0.2", "10.77.0.1", "8.8.8.8"
NAMED, OTHER = "anvil.tokbox.com", "www.example.com"
ADDRESSES = {NAMED: "18.156.200.9", OTHER: "18.156.200.10", "dns.google": RESOLVER}


def run(*argv, check=True, **keywords):
    done = subprocess.run([str(word) for word in argv], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keywords)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Far:
    """The other end of the line: name server, DNS over HTTPS, web servers."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []

    def begin(self):
        folder = self.folder
        self.space = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self.processes.append(self.space)
        while os.readlink(f"/proc/{self.space.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)
        run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", self.space.pid)
        for words in (("link", "set", "lo", "up"), ("address", "add", OWN + "/24", "dev", "eth0"), ("link", "set", "eth0", "up"),
                      ("route", "add", "default", "via", GATEWAY)):
            run("ip", *words)
        for words in (("link", "set", "lo", "up"), ("address", "add", GATEWAY + "/24", "dev", "eth0"), ("link", "set", "eth0", "up"),
                      *(("address", "add", address + "/32", "dev", "lo") for address in ADDRESSES.values())):
            self.run("ip", *words)
        self.certify()
        zones = "".join(f'    local-data: "{name}. 60 IN A {address}"\n' for name, address in ADDRESSES.items())
        (folder / "unbound.conf").write_text(f"""server:
    interface: {RESOLVER}@53
    interface: {RESOLVER}@443
    https-port: 443
    tls-service-key: "{folder}/server.key"
    tls-service-pem: "{folder}/server.pem"
    access-control: 0.0.0.0/0 allow
    chroot: ""
    username: ""
    do-daemonize: no
    use-syslog: no
    local-zone: "." static
{zones}remote-control:
    control-enable: no
""")
        self.start("unbound", "-c", folder / "unbound.conf")
        for name in (NAMED, OTHER):
            self.start("openssl", "s_server", "-accept", f"{ADDRESSES[name]}:443", "-cert", folder / "server.pem", "-key",
                       folder / "server.key", "-www", "-quiet")
        for address in ADDRESSES.values():
            self.wait_for(address)

    def inside(self, *argv):
        return ["nsenter", f"--net=/proc/{self.space.pid}/ns/net", *map(str, argv)]

    def run(self, *argv):
        return run(*self.inside(*argv))

    def start(self, *argv):
        log = open(self.folder / "servers.log", "a")
        self.processes.append(subprocess.Popen(self.inside(*argv), stdout=log, stderr=log, stdin=subprocess.DEVNULL))

    def wait_for(self, address):
        deadline = time.monotonic() + 30
        while subprocess.run(self.inside("openssl", "s_client", "-connect", f"{address}:443"), stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
            if time.monotonic() > deadline:
                raise AssertionError(f"{address} does not answer\n" + (self.folder / "servers.log").read_text())
            time.sleep(0.2)

    def certify(self):
        folder = self.folder
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        run("openssl", "req", "-x509", *key, "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-days", 2, "-subj", "/CN=test")
        run("openssl", "req", *key, "-keyout", folder / "server.key", "-out", folder / "server.csr", "-subj", "/CN=server")
        (folder / "names").write_text("subjectAltName=" + ",".join("DNS:" + name for name in ADDRESSES))
        run("openssl", "x509", "-req", "-in", folder / "server.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-days", 2,
            "-CAcreateserial", "-extfile", folder / "names", "-out", folder / "server.pem")

    def end(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()


class Host:
    def __init__(self, folder, program):
        self.folder, self.program = folder, program
        (folder / "bpf").mkdir()
        run("mount", "-t", "bpf", "bpf", folder / "bpf")
        (folder / "resolv.conf").write_text(f"nameserver {RESOLVER}\n")
        run("mount", "--bind", folder / "resolv.conf", os.path.realpath("/etc/resolv.conf"))
        database = folder / "home/.pki/nssdb"
        database.mkdir(parents=True)
        run("certutil", "-d", f"sql:{database}", "-N", "--empty-password")
        run("certutil", "-d", f"sql:{database}", "-A", "-t", "C,,", "-n", "test", "-i", folder / "ca.pem")

    def agent(self, *words):
        return run(self.program, "--bpffs", self.folder / "bpf", "--state-dir", self.folder / "state", *words)

    # A page by a browser that has never run before.
    def page(self, name, over_https=False, options=()):
        profile = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        if over_https:
            settings = {"dns_over_https": {"mode": "secure", "templates": "https://dns.google/dns-query"}}
            (profile / "Local State").write_text(json.dumps(settings))
        command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                   "--disable-component-update", f"--user-data-dir={profile}", *options, "--dump-dom", f"https://{name}/"]
        with open(self.folder / "browser.log", "w") as log:
            browser = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
                                       env={**os.environ, "HOME": str(self.folder / "home")})
            try:
                return browser.communicate(timeout=90)[0]
            except subprocess.TimeoutExpired:
                return ""
            finally:
                try:
                    os.killpg(browser.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                browser.wait()

    # What is counted of one page.
    def counted(self, name, **how):
        self.agent("enable", "--region", "ca", "--interface", "eth0")
        page = self.page(name, **how)
        stats = json.loads(self.agent("stats", "--flows", "--json"))
        self.agent("disable")
        by = {flow["named_by"] for flow in stats["flows"] if flow["remote"] == ADDRESSES[name]}
        return page, by, {outcome: count for outcome, count in stats["tls"].items() if count}


def check(what, holds, found):
    print(f"{'ok  ' if holds else 'FAIL'} {what}: {found}", flush=True)
    return holds


def main():
    program = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/release/cli/kudo-agent").resolve()
    if "KUDO_BROWSER_INSIDE" not in os.environ:
        os.execvpe("unshare", ["unshare", "--mount", "--net", sys.executable, __file__, str(program)],
                   {**os.environ, "KUDO_BROWSER_INSIDE": "1"})
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kudo-browser-"))
    run("mount", "-t", "tmpfs", "tmpfs", folder)
    far, right = Far(folder), []
    try:
        far.begin()
        host = Host(folder, program)
        shown = "s_server"

        page, by, tls = host.counted(NAMED)
        right.append(check("plain DNS", shown in page and by == {"dns"} and "named" not in tls, (by, tls)))
        page, by, tls = host.counted(NAMED, over_https=True)
        right.append(check("DNS over HTTPS", shown in page and by == {"tls"} and tls.get("named", 0) > 0 and tls.get("doh", 0) > 0,
                           (by, tls)))
        page, by, tls = host.counted(OTHER)
        right.append(check("another name, with an encrypted ClientHello", shown in page and not by and tls.get("ech", 0) > 0, (by, tls)))
        page, by, tls = host.counted(OTHER, options=[f"--origin-to-force-quic-on={OTHER}:443"])
        right.append(check("QUIC", not by and tls.get("quic", 0) > 0, (by, tls)))
        if not all(right):
            print((folder / "servers.log").read_text()[-2000:], (folder / "browser.log").read_text()[-3000:], sep="\n")
    finally:
        far.end()
        run("umount", "--lazy", folder, check=False)
        folder.rmdir()
    print(f"{sum(right)} of {len(right)} as they should be")
    return 0 if right and all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
