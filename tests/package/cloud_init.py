#!/usr/bin/env python3
"""Does what packaging/cloud-init/kudo-agent.yaml says in a container with systemd, with this package in place of the address in it:
cloud_init.py DEB

cloud-init itself, where it is installed, only checks the file's form: it would configure the container as well.
"""
import hashlib
import pathlib
import shutil
import sys

import yaml

from boot import boot, check, main, make_root, run

SNIPPET = pathlib.Path(__file__).resolve().parents[2] / "packaging/cloud-init/kudo-agent.yaml"
SCRIPT = """
while ! ip route show default | grep -q host0; do sleep 0.1; done
mkdir -p /etc/kudo-agent; cp /share/kudo-agent.toml /etc/kudo-agent/
sh /share/commands >&2; show commands $?
show package "$(dpkg-query -W -f '${db:Status-Status}' kudo-agent)"
kudo-agent status >&2; show status $?
show configuration "$(cmp /share/kudo-agent.toml /etc/kudo-agent/kudo-agent.toml && echo kept)"
"""
WANTED = {"commands": "0", "package": "installed", "status": "0", "configuration": "kept"}


def prepare(share, package):
    text = SNIPPET.read_text()
    if shutil.which("cloud-init"):
        run("cloud-init", "schema", "--config-file", SNIPPET)
    snippet = yaml.safe_load(text)
    [file], [commands] = snippet["write_files"], snippet["runcmd"]
    if file["path"] != "/etc/kudo-agent/kudo-agent.toml":
        raise AssertionError(file["path"])
    (share / "kudo-agent.toml").write_text(file["content"])
    address = next(word for word in commands.split() if word.startswith("https://"))
    (share / "commands").write_text(commands.replace(address, "file:///share/package.deb")
                                    .replace("0" * 64, hashlib.sha256(package.read_bytes()).hexdigest()))


def first_boot(package, folder):
    root = make_root(folder, package)
    prepare(folder / "share", package)
    found = boot(folder, root, SCRIPT)
    return check(folder, found, WANTED, "first boot") if found else None


if __name__ == "__main__":
    sys.exit(main(__file__, sys.argv[1:], first_boot))
