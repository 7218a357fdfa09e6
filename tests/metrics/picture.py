#!/usr/bin/env python3
"""Makes docs/dashboard.svg: a call of a few minutes through a host with kudo-agent and a Prometheus server, in network
namespaces of its own: picture.py AGENT > docs/dashboard.svg

AGENT: the program. In the second minute a bulk transfer fills the uplink's rate, in the third a rule of the host's firewall drops
what comes in above a limit. Needs root, prometheus and nft.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
RENDER = ROOT / "packaging/grafana/render.py"
HOST, SERVER, PROMETHEUS = "10.77.0.2", "3.123.12.129", "127.0.0.1:9090"
SECONDS = 240

# Both ends of a call: RTP audio and video, 20 ms apart; and bulk TCP to port 443 while a file is there.
CALL = """
import os, socket, struct, sys, threading, time
side, bulk = sys.argv[1], sys.argv[2]
local, remote = ("HOST", 40000), ("SERVER", 3478)
if side == "server":
    local, remote = remote, local
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(local)
def receive():
    while True:
        data, sender = sock.recvfrom(2000)
        if side == "server" and data[:2] == b"\\0\\1" and len(data) >= 20:
            port, address = sender[1] ^ 0x2112, bytes(a ^ b for a, b in zip(socket.inet_aton(sender[0]), data[4:8]))
            sock.sendto(b"\\1\\1" + struct.pack("!H", 12) + data[4:20] + struct.pack("!HHBBH", 0x20, 8, 0, 1, port) + address, sender)
def load():
    if side == "server":
        listener = socket.create_server(("SERVER", 443))
        while True:
            connection = listener.accept()[0]
            threading.Thread(target=lambda: [0 for _ in iter(lambda: connection.recv(65536), b"")], daemon=True).start()
    while True:
        if os.path.exists(bulk):
            with socket.create_connection(("SERVER", 443)) as connection:
                while os.path.exists(bulk):
                    connection.sendall(bytes(20000))
        time.sleep(0.2)
for each in (receive, load):
    threading.Thread(target=each, daemon=True).start()
number, begin = 0, time.monotonic()
while True:
    if side == "host" and number % 125 == 0:
        sock.sendto(struct.pack("!HHI", 1, 0, 0x2112A442) + os.urandom(12), remote)
    lost = os.path.exists(bulk + ".loss") and number % 20 == 0
    if not lost:
        sock.sendto(struct.pack("!BBHII", 128, 111, number % 65536, number * 960, 77) + bytes(100), remote)
    for part in range(0 if lost else 4):
        count = number * 4 + part
        sock.sendto(struct.pack("!BBHII", 128, 96 + 128 * (part == 3), count % 65536, number * 1800, 78) + bytes(900), remote)
    number += 1
    time.sleep(max(0, begin + number / 50 - time.monotonic()))
""".replace("HOST", HOST).replace("SERVER", SERVER)


def run(*command, **more):
    return subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr, **more)


@contextlib.contextmanager
def process(*command):
    child = subprocess.Popen([str(word) for word in command], stdout=sys.stderr)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()


def main(arguments):
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    agent = pathlib.Path(arguments[0]).resolve()
    missing = [tool for tool in ("prometheus", "nft", "ip", "nsenter") if not shutil.which(tool)]
    if missing or os.geteuid() != 0:
        print("this needs " + (", ".join(missing) if missing else "root"), file=sys.stderr)
        return 77
    name = f"kudo-picture-{os.getpid()}"
    host, server = f"{name}-h", f"{name}-s"
    with tempfile.TemporaryDirectory(prefix="kudo-picture.") as temporary, contextlib.ExitStack() as ended:
        folder = pathlib.Path(temporary)
        inside = {space: ("nsenter", f"--net=/run/netns/{space}") for space in (host, server)}
        for space in (host, server):
            run("ip", "netns", "add", space)
            ended.callback(run, "ip", "netns", "del", space)
            run(*inside[space], "ip", "link", "set", "lo", "up")
        run(*inside[host], "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", server)
        for space, addresses in ((host, [f"{HOST}/24"]), (server, ["10.77.0.1/24", f"{SERVER}/32"])):
            for address in addresses:
                run(*inside[space], "ip", "address", "add", address, "dev", "eth0")
            run(*inside[space], "ip", "link", "set", "eth0", "up")
        run(*inside[host], "ip", "route", "add", "default", "via", "10.77.0.1")
        bpffs = folder / "bpf"
        bpffs.mkdir()
        run("mount", "-t", "bpf", "bpf", bpffs)
        ended.callback(run, "umount", bpffs)
        tool = (*inside[host], agent, "--bpffs", bpffs, "--state-dir", folder / "state")
        run(*tool, "enable", "--region", "ca", "--uplink", "8mbit")
        ended.callback(run, *tool, "disable")
        bulk, script = folder / "bulk", folder / "call.py"
        script.write_text(CALL)
        (folder / "prometheus.yml").write_text("global: {scrape_interval: 2s}\nscrape_configs:\n- job_name: kudo-agent\n  static_configs:\n"
                                               "  - targets: ['127.0.0.1:9475']\n    labels: {instance: desk-7}\n")
        ended.enter_context(process(*inside[host], "prometheus", f"--config.file={folder}/prometheus.yml", f"--web.listen-address={PROMETHEUS}",
                                    f"--storage.tsdb.path={folder}/data", "--log.level=warn"))
        ended.enter_context(process(*tool, "run", "--metrics", "127.0.0.1:9475", "--no-resolve-names"))
        ended.enter_context(process(*inside[server], "python3", script, "server", bulk))
        ended.enter_context(process(*inside[host], "python3", script, "host", bulk))
        time.sleep(SECONDS / 4)
        bulk.touch()
        time.sleep(SECONDS / 4)
        bulk.unlink()
        run(*inside[host], "nft", "add table ip guard; add chain ip guard in { type filter hook input priority 0; }; "
            "add rule ip guard in udp sport 3478 limit rate over 200/second drop")
        time.sleep(SECONDS / 4)
        run(*inside[host], "nft", "delete table ip guard")
        pathlib.Path(f"{bulk}.loss").touch()
        time.sleep(SECONDS / 4)
        picture = subprocess.run([*inside[host], RENDER, f"http://{PROMETHEUS}", str(SECONDS / 60)], check=True, stdout=subprocess.PIPE)
        sys.stdout.buffer.write(picture.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
