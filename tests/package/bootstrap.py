#!/usr/bin/env python3
"""Looks at what ./bootstrap leaves of its installing, however that ends: bootstrap.py

In namespaces of its own, with a copy of bootstrap, an /usr/sbin under an overlay, and an apt-get, a dpkg-query and a mv that are played:
nothing is installed.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
POLICY = pathlib.Path("/usr/sbin/policy-rc.d")
SOMEBODY_ELSES = "#!/bin/sh\nexit 101\n"

# The files that tests make in $STAGE: missing, packages are; locked, by another program; hold-apt-get and hold-mv, which wait there.
PLAYED = {
    "dpkg-query": '[ -e "$STAGE/missing" ] || echo installed',
    "apt-get": """
if [ -e "$STAGE/locked" ]; then
    echo "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1 (apt)"
    exit 100
fi
policy=/usr/sbin/policy-rc.d
[ ! -e $policy ] || { $policy kudo start; echo "ours $?"; KUDO_BOOTSTRAP= $policy kudo start; echo "others' $?"; } >"$STAGE/answers"
touch "$STAGE/at-apt-get"
while [ -e "$STAGE/hold-apt-get" ]; do sleep 0.02; done
case " $* " in *" install "*) rm "$STAGE/missing" ;; esac
""",
    "mv": """
touch "$STAGE/at-mv"
while [ -e "$STAGE/hold-mv" ]; do sleep 0.02; done
exec /bin/mv "$@"
""",
}


def eventually(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never: {what}")
        time.sleep(0.02)


class Bootstrap(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.stage, self.running = pathlib.Path(folder.name), []
        self.addCleanup(self.end)
        for name in ("bin", "packaging", "tmp"):
            (self.stage / name).mkdir()
        shutil.copy(SOURCE / "bootstrap", self.stage)
        for path, text in [("packaging/deb", "echo made"), *((f"bin/{name}", text) for name, text in PLAYED.items())]:
            (self.stage / path).write_text(f"#!/bin/sh\n{text}\n")
            (self.stage / path).chmod(0o755)
        POLICY.unlink(missing_ok=True)
        self.before = set(os.listdir(POLICY.parent))

    def end(self):
        for name in ("hold-apt-get", "hold-mv", "locked"):
            (self.stage / name).unlink(missing_ok=True)
        for bootstrap in self.running:
            bootstrap.communicate(timeout=60)

    def has(self, *names):
        for name in names:
            (self.stage / name).touch()

    def has_not(self, name):
        (self.stage / name).unlink()

    def start(self):
        for place in ("at-apt-get", "at-mv"):
            (self.stage / place).unlink(missing_ok=True)
        environment = {**os.environ, "STAGE": str(self.stage), "TMPDIR": str(self.stage / "tmp"),
                       "PATH": f"{self.stage}/bin:{os.environ['PATH']}"}
        self.running.append(subprocess.Popen([self.stage / "bootstrap", "deb"], env=environment, text=True, stdin=subprocess.DEVNULL,
                                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True))
        return self.running[-1]

    def reached(self, name):
        eventually((self.stage / name).exists, name)

    def runs(self, bootstrap):
        said, _ = bootstrap.communicate(timeout=60)
        self.assertEqual((bootstrap.returncode, said.splitlines()[-1:]), (0, ["made"]), said)
        return said

    def stop(self, place, kill, number):
        """Where it installs, or where it moves its policy into place."""
        self.has("missing", f"hold-{place}")
        bootstrap = self.start()
        self.reached(f"at-{place}")
        kill(bootstrap.pid, number)
        if kill == os.kill:  # what it waits for does not hear of it
            time.sleep(0.1)
            self.assertEqual((bootstrap.poll(), self.left() != []), (None, True))
            self.has_not(f"hold-{place}")
        bootstrap.communicate(timeout=60)
        (self.stage / f"hold-{place}").unlink(missing_ok=True)
        self.assertEqual(bootstrap.returncode, -number if number == signal.SIGKILL else 128 + number)

    def left(self):
        return sorted(set(os.listdir(POLICY.parent)) - self.before) + os.listdir(self.stage / "tmp")

    def test_only_what_it_installs_starts_no_service(self):
        self.has("missing")
        self.runs(self.start())
        self.assertEqual((self.stage / "answers").read_text(), "ours 101\nothers' 0\n")
        self.assertEqual(self.left(), [])

    def test_a_lock_is_waited_for(self):
        self.has("missing", "locked")
        bootstrap = self.start()
        said = bootstrap.stdout.readline() + bootstrap.stdout.readline()
        self.assertIn("another program is using the package system; waiting for it (up to 10 min): Could not get lock", said)
        self.has_not("locked")
        self.runs(bootstrap)
        self.assertEqual(self.left(), [])

    def test_a_termination_leaves_nothing(self):
        for kill, number in ((os.kill, signal.SIGTERM), (os.killpg, signal.SIGTERM), (os.killpg, signal.SIGINT),
                             (os.killpg, signal.SIGHUP)):
            for place in ("apt-get", "mv"):
                with self.subTest(kill=kill.__name__, signal=number.name, place=place):
                    self.stop(place, kill, number)
                    self.assertEqual(self.left(), [])

    def test_what_a_kill_has_left_goes_at_the_next_start(self):
        for place, name in (("apt-get", "policy-rc.d"), ("mv", "policy-rc.d.kudo-bootstrap.")):
            with self.subTest(place=place):
                self.stop(place, os.killpg, signal.SIGKILL)
                [left] = self.left()
                self.assertEqual(left[:len(name)], name)
                self.has_not("missing")
                self.runs(self.start())
                self.assertEqual(self.left(), [])

    def test_what_another_bootstrap_needs_stays(self):
        self.has("missing", "hold-apt-get")
        first = self.start()
        self.reached("at-apt-get")
        policy = POLICY.read_text()
        self.has_not("missing")
        self.runs(self.start())
        self.assertEqual(POLICY.read_text(), policy)
        self.has("missing")
        self.has_not("hold-apt-get")
        self.runs(first)
        self.assertEqual(self.left(), [])

    def test_somebody_elses_policy_stays(self):
        POLICY.write_text(SOMEBODY_ELSES)
        self.addCleanup(POLICY.unlink)
        self.has("missing")
        self.runs(self.start())
        self.runs(self.start())
        self.assertEqual(POLICY.read_text(), SOMEBODY_ELSES)


def inside(folder):
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    for name in ("upper", "work"):
        os.mkdir(f"{folder}/{name}")
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/usr/sbin,upperdir={folder}/upper,workdir={folder}/work",
                    "/usr/sbin"], check=True)
    unittest.main(argv=sys.argv[:1], verbosity=2)


def main(arguments):
    if arguments[:1] == ["--inside"]:
        return inside(arguments[1])
    if os.geteuid() != 0:
        print("this needs root")
        return 77
    folder = tempfile.mkdtemp()
    # A process namespace: nothing that a kill has orphaned outlives this.
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, __file__, "--inside", folder]
    try:
        return subprocess.run(command).returncode
    finally:
        os.rmdir(folder)  # what was in it was mounted in there, and is gone


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
