#!/usr/bin/env python3
"""Runs the package's own tests, packaging/debian/tests, by Debian's autopkgtest: autopkgtest.py DEB

With autopkgtest's runner `null` on a machine of its own, as package.py has it: this machine's files under an overlay in memory, with
a bpffs, network and process namespaces.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from package import Machine, run

# There is no systemd there, and no going back after a purge: vm.py looks at what the two tests would.
WANTED = {"installed": "PASS", "enable": "PASS", "service": "SKIP", "demo": "PASS", "purged": "SKIP"}
DEBIAN = pathlib.Path(__file__).resolve().parents[2] / "packaging/debian"


def inside(package, folder):
    run("ip", "link", "set", "lo", "up")
    machine = Machine(folder)
    (machine.root / "run/systemd/system").rmdir()
    source = machine.root / "tmp/source"
    shutil.copytree(DEBIAN, source / "debian")
    version = run("dpkg-deb", "-f", package, "Version").stdout.strip()
    (source / "debian/changelog").write_text(f"kudo-agent ({version}) unstable; urgency=medium\n\n  * As built.\n\n"
                                             " -- kudo-agent maintainers <maintainers@kudo-agent.example.com>  "
                                             "Thu, 01 Jan 1970 00:00:00 +0000\n")
    shutil.copy(package, machine.root / "tmp/kudo-agent.deb")
    subprocess.run(["chroot", machine.root, "autopkgtest", "--summary-file=/tmp/summary", "--no-built-binaries", "/tmp/kudo-agent.deb",
                    "/tmp/source", "--", "null"], env={**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": "/tmp"})
    found = dict(line.split()[:2] for line in (machine.root / "tmp/summary").read_text().splitlines() if line.strip())
    print(f"autopkgtest: {found}")
    return 0 if found == WANTED else 1


def main(arguments):
    if arguments[:1] == ["--inside"]:
        run("mount", "--make-rprivate", "/")
        return inside(pathlib.Path(arguments[1]), arguments[2])
    package = pathlib.Path(arguments[0]).resolve()
    if not package.exists() or os.geteuid() != 0 or not shutil.which("autopkgtest"):
        print(f"this needs root, {package} (./bootstrap deb) and the packages autopkgtest and jq")
        return 77
    folder = tempfile.mkdtemp()
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, __file__, "--inside", package,
               folder]
    try:
        return subprocess.run([str(word) for word in command]).returncode
    finally:
        os.rmdir(folder)  # all that was in it was mounted in there, and is gone


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
