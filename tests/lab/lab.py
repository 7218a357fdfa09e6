#!/usr/bin/env python3
"""Checks the lab: lab.py VAGRANT PROGRAM TOPIC

VAGRANT: the folder vagrant/. PROGRAM: kudo-agent. TOPIC: Run, Readme, Trouble, Scripts, Vagrantfile. Exit status 77: something
that the topic needs is not here.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

VAGRANT, PROGRAM = pathlib.Path(), ""


def run(*argv, **keywords):
    return subprocess.run([str(word) for word in argv], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, **keywords)


class Lab:
    """A lab of this process, by a name that no other test has."""
    made = 0

    def __init__(self, **environment):
        Lab.made += 1
        self.name = f"test-{os.getpid()}-{Lab.made}"
        self.environment = {**os.environ, "KUDO_AGENT": PROGRAM, **environment}

    def __call__(self, *words, **keywords):
        return run(VAGRANT / "lab", "--name", self.name, *words, env=self.environment, **keywords)

    def begin(self, *words):
        """In a process group of its own, as a terminal's, which is signalled as a whole."""
        # A shell that is started with SIGINT ignored could not be interrupted.
        return subprocess.Popen([VAGRANT / "lab", "--name", self.name, *words], env=self.environment, text=True,
                                start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    def folder(self):
        return pathlib.Path(f"/run/kudo-lab-{self.name}")

    def left(self):
        """What there is of it: namespaces, mounts, files, processes."""
        found = [line for line in run("ip", "netns").stdout.splitlines() if f"kudo-lab-{self.name}-" in line]
        found += [line for line in pathlib.Path("/proc/mounts").read_text().splitlines() if self.name in line]
        found += [str(self.folder())] if self.folder().exists() else []
        for process in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it has ended meanwhile
            found += [command] if self.name in command else []
        return found

    def wait_until_made(self):
        deadline = time.monotonic() + 120
        while not (self.folder() / "said").exists():  # the first step has begun
            if time.monotonic() > deadline:
                raise TimeoutError("the lab is not made")
            time.sleep(0.1)


def machine():
    """What of this machine a lab might change."""
    files = [pathlib.Path(name) for name in ("/etc/turnserver.conf", "/etc/nats-server.conf", "/proc/sys/net/ipv4/ip_forward")]
    names = [str(path) for pattern in ("etc/kudo-agent/**/*", "var/lib/kudo-agent/**/*", "var/lib/turn/*", "var/log/turn*", "run/turn*")
             for path in pathlib.Path("/").glob(pattern)]
    looks = ("ip -o link show", "ip rule", "ip route", "nft list ruleset", "tc qdisc show")
    return [run(*words.split()).stdout for words in looks], [file.read_bytes() for file in files if file.exists()], sorted(names)


def in_path_without(*programs):
    """A PATH that has everything but these."""
    folder = tempfile.mkdtemp(prefix="kudo-lab-path-")
    for place in ("/bin", "/sbin", "/usr/sbin", "/usr/bin"):
        for path in pathlib.Path(place).iterdir():
            link = pathlib.Path(folder, path.name)
            if path.name not in programs and not link.is_symlink():
                link.symlink_to(path)
    return folder


class Run(unittest.TestCase):
    def test_a_call_a_push_and_a_fault_pass_and_leave_nothing(self):
        lab, before = Lab(), machine()
        done = lab("run")
        print(done.stdout, end="", flush=True)
        self.assertEqual(done.returncode, 0)
        shown = re.search(r"# vagrant/lab run\n(.*?)```", (VAGRANT / "README.md").read_text(), re.DOTALL)[1]
        self.assertEqual(re.sub("[0-9]+", "N", done.stdout), re.sub("[0-9]+", "N", shown))
        self.assertEqual(lab.left(), [])
        self.assertEqual(machine(), before)


class Readme(unittest.TestCase):
    def test_what_it_says_to_type_works(self):
        lab = Lab()
        self.addCleanup(lab, "down")
        shown = re.search(r"```console\n(# vagrant/lab up\n.*?)```", (VAGRANT / "README.md").read_text(), re.DOTALL)[1]
        commands = [line.removeprefix("# vagrant/lab ").replace("kudo-lab-lab", lab.folder().name) for line in shown.splitlines()]
        self.assertGreater(len(commands), 5)
        for command in commands:
            done = lab(*command.split())
            print(done.stdout, end="", flush=True)
            self.assertEqual(done.returncode, 0, command)
        self.assertEqual(lab.left(), [])


class Trouble(unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab, "down")

    def test_a_full_disk_is_a_failure_and_leaves_nothing(self):
        # /run is this mount namespace's alone.
        script = f"mount -t tmpfs -o size=60k tmpfs /run; {VAGRANT}/lab --name {self.lab.name} run; echo $?; ls -A /run /run/netns"
        full = run("unshare", "--mount", "sh", "-c", script, env=self.lab.environment)
        self.assertIn("No space left on device", full.stdout)
        self.assertEqual(full.stdout.splitlines()[-6:], ["1", "/run:", "mount", "netns", "", "/run/netns:"])

    def test_an_interrupted_run_leaves_nothing(self):
        running = self.lab.begin("run")
        self.lab.wait_until_made()
        self.assertNotEqual(self.lab.left(), [])
        os.killpg(running.pid, signal.SIGINT)
        running.communicate(timeout=60)
        self.assertEqual(running.returncode, 130)
        self.assertEqual(self.lab.left(), [])

    def test_a_run_that_is_ended_leaves_nothing(self):
        running = self.lab.begin("run")
        self.lab.wait_until_made()
        os.kill(running.pid, signal.SIGTERM)
        running.communicate(timeout=60)
        self.assertEqual(running.returncode, 143)
        self.assertEqual(self.lab.left(), [])

    def test_what_a_killed_run_has_left_is_named_and_goes_with_down(self):
        running = self.lab.begin("run")
        self.lab.wait_until_made()
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        self.assertIn("turnserver", str(self.lab.left()))
        again = self.lab("run")
        self.assertEqual(again.returncode, 1)
        self.assertIn(f"there already; remove it: vagrant/lab --name {self.lab.name} down", again.stdout)
        self.assertIn("turnserver", str(self.lab.left()), "that of another was removed")
        down = self.lab("down")
        self.assertEqual((down.returncode, down.stdout), (0, ""))
        running.communicate(timeout=60)  # what it had started has ended too
        self.assertEqual(self.lab.left(), [])

    def test_a_step_that_fails_is_named_and_leaves_nothing(self):
        # An agent that says that it is enabled, and is not.
        with tempfile.NamedTemporaryFile("w", dir="/run", suffix=".sh", delete=False) as file:
            file.write(f'#!/bin/sh\n[ "$1" != enable ] || exit 0\nexec "{PROGRAM}" "$@"\n')
        self.addCleanup(os.unlink, file.name)
        os.chmod(file.name, 0o755)
        lab = Lab(KUDO_AGENT=file.name)
        self.addCleanup(lab, "down")
        failed = lab("run")
        self.assertEqual(failed.returncode, 1, failed.stdout)
        self.assertIn("FAIL  a signed map is published by NATS; enable takes it\n", failed.stdout)
        self.assertIn("not enabled", failed.stdout)
        self.assertEqual(lab.left(), [])

    def test_what_is_made_stays_until_it_is_removed(self):
        made = self.lab("up")
        self.assertEqual(made.returncode, 0, made.stdout)
        self.assertIn("not enabled", self.lab("on", "host", "kudo-agent", "status").stdout)
        self.assertIn("10.77.1.2", self.lab("on", "media", "ip", "address").stdout)
        self.assertIn("no machine 'cellar'", self.lab("on", "cellar", "true").stdout)
        # Provisioning again changes nothing but the signatures.
        config = self.lab.folder() / "host/etc/kudo-agent/kudo-agent.toml"
        routes, before = self.lab("on", "host", "ip", "route").stdout, config.read_text()
        again = self.lab("on", "host", "env", f"LAB_ROOT={self.lab.folder()}/host", "LAB_GATEWAY=10.77.0.1",
                         VAGRANT / "provision/host")
        self.assertEqual((again.returncode, again.stdout), (0, ""))
        self.assertEqual((self.lab("on", "host", "ip", "route").stdout, config.read_text()), (routes, before))
        self.assertEqual(self.lab("down").returncode, 0)
        self.assertEqual(self.lab.left(), [])

    def test_nothing_leads_to_the_real_servers(self):
        self.assertEqual(self.lab("up").returncode, 0)
        # In a range of the map, where the lab has nobody; and as if the lab's network were down.
        for address in ("168.100.64.1", "198.51.100.1"):
            self.assertNotEqual(self.lab("on", "host", "ping", "-c", "1", "-W", "1", address).returncode, 0)
        self.lab("on", "host", "ip", "link", "set", "eth1", "down")
        route = self.lab("on", "host", "ip", "route", "get", "168.100.64.1")
        self.assertRegex(route.stdout, "unreachable|No route to host")

    def test_what_is_missing_is_named(self):
        path = in_path_without("turnserver", "turnutils_uclient")
        self.addCleanup(shutil.rmtree, path)
        # The script adds the usual folders: they are not to be seen.
        script = self.script_without_usual_folders()
        missing = run(script, "run", env={"PATH": path, "KUDO_AGENT": PROGRAM})
        self.assertEqual(missing.returncode, 77)
        self.assertIn("there is no turnserver here", missing.stdout)
        self.assertIn("apt-get install coturn\n", missing.stdout)
        missing = Lab(KUDO_AGENT="/nowhere/kudo-agent")("run")
        self.assertEqual((missing.returncode, missing.stdout), (77, "lab: there is no program /nowhere/kudo-agent\n"))

    def script_without_usual_folders(self):
        folder = tempfile.mkdtemp(prefix="kudo-lab-")
        self.addCleanup(shutil.rmtree, folder)
        copy = shutil.copytree(VAGRANT, pathlib.Path(folder, "vagrant"))
        script = copy / "lab"
        text = script.read_text()
        self.assertIn("PATH=$PATH:/usr/sbin:/sbin\n", text)
        script.write_text(text.replace("PATH=$PATH:/usr/sbin:/sbin\n", ""))
        return script

    def test_who_is_not_root_is_told(self):
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            os.chmod(folder, 0o755)
            shutil.copytree(VAGRANT, pathlib.Path(folder, "vagrant"))
            for command in ("run", "up", "down"):
                refused = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"{folder}/vagrant/lab", command)
                self.assertEqual(refused.returncode, 77)
                self.assertIn("this needs root", refused.stdout)

    def test_wrong_words_are_refused(self):
        for words in ([], ["fly"], ["--name"], ["--name", "../etc", "down"], ["--name", "", "run"], ["--name", "a/b", "run"]):
            self.assertEqual(run(VAGRANT / "lab", *words).returncode, 2, words)


class Scripts(unittest.TestCase):
    def files(self):
        return [VAGRANT / name for name in ("lab", "provision/host", "provision/media", "provision/fleet")]

    def test_shellcheck_finds_nothing(self):
        # From the tree: the files that they source are named from there.
        found = run("shellcheck", "--external-sources", *self.files(), cwd=VAGRANT.parent)
        self.assertEqual((found.returncode, found.stdout), (0, ""))

    def test_bash_can_read_them(self):
        for file in [*self.files(), VAGRANT / "steps", VAGRANT / "provision/plan"]:
            found = run("bash", "-n", file)
            self.assertEqual((found.returncode, found.stdout), (0, ""))

    def test_those_that_are_run_stop_at_a_failure(self):
        for file in self.files():
            self.assertIn("set -euo pipefail\n", file.read_text())


class Vagrantfile(unittest.TestCase):
    def validate(self, text):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "vagrant").mkdir()
            pathlib.Path(folder, "vagrant/Vagrantfile").write_text(text)
            environment = {**os.environ, "VAGRANT_HOME": f"{folder}/home", "VAGRANT_CWD": f"{folder}/vagrant",
                           "VAGRANT_CHECKPOINT_DISABLE": "1"}  # else it asks for a newer version of itself
            return run("vagrant", "validate", "--ignore-provider", env=environment)

    def test_vagrant_finds_it_valid(self):
        found = self.validate((VAGRANT / "Vagrantfile").read_text())
        self.assertEqual(found.returncode, 0, found.stdout)
        self.assertIn("Vagrantfile validated successfully.", found.stdout)
        for name in ("host", "media", "fleet"):
            self.assertIn(f"==> {name}:", found.stdout)

    def test_a_setting_that_does_not_exist_is_found(self):
        text = (VAGRANT / "Vagrantfile").read_text()
        for right, mistyped in (("config.vm.box = ", "config.vm.boxx = "), ("inline: ", "inlin: ")):
            self.assertIn(right, text)
            found = self.validate(text.replace(right, mistyped))
            self.assertNotEqual(found.returncode, 0)
            self.assertIn("The following settings shouldn't exist: " + mistyped.split(".")[-1].strip(" =:"), found.stdout)

    def test_the_addresses_are_those_of_the_scripts(self):
        plan = dict(re.findall(r"^(\w+)_address=(\S+)$", (VAGRANT / "provision/plan").read_text(), re.MULTILINE))
        self.assertEqual(plan, dict(re.findall(r"'(\w+)' => '([0-9.]+)'", (VAGRANT / "Vagrantfile").read_text())))
        self.assertEqual(len(plan), 3)


NEEDED = {"Run": (), "Readme": (), "Trouble": ("setpriv", "ping"), "Scripts": ("shellcheck",), "Vagrantfile": ("vagrant",)}


def why_not(topic):
    missing = [name for name in NEEDED[topic] if not shutil.which(name)]
    if missing:
        return f"there is no {', no '.join(missing)} here"
    if topic in ("Run", "Readme", "Trouble"):
        asked = Lab()("check")
        return asked.stdout if asked.returncode == 77 else None
    return None


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[3] not in NEEDED:
        sys.exit(__doc__)
    VAGRANT, PROGRAM = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    missing = why_not(sys.argv[3])
    if missing:
        print(missing)
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], "-v", sys.argv[3]])
