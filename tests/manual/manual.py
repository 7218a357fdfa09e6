#!/usr/bin/env python3
"""Checks manual pages and completion against the program itself: manual.py PROGRAM FOLDER [TEST]...

FOLDER has man1, man5 and completion, as the build has made them. What the pages say is compared with `PROGRAM ... --help`.
"""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

PROGRAM, MANUAL = "", pathlib.Path()
COMMAND_LINE = re.compile(r"^  ([a-z]+)(?:  |$)", re.MULTILINE)
HELP_OPTION = re.compile(r"^  (-[^ \n]*)", re.MULTILINE)


def run(*argv, **keywords):
    return subprocess.run(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **keywords)


def help_of(path):
    return run(PROGRAM, *path, "--help").stdout


def commands_below(path):
    _, _, listed = help_of(path).partition("Subcommands:\n")
    return COMMAND_LINE.findall(listed.split("\n\n")[0])


def all_commands(path=()):
    yield path
    for name in commands_below(path):
        yield from all_commands((*path, name))


def options_in_help(path):
    return {name for names in HELP_OPTION.findall(help_of(path)) for name in names.split(",")}


def options_in_page(path):
    text = (MANUAL / "man1" / ("-".join(("kudo-agent", *path)) + ".1")).read_text()
    listed = text.partition(".Sh OPTIONS\n")[2].partition("\n.El")[0].replace("\\-", "-")
    return {"-" + name for line in re.findall(r"^\.It Fl.*", listed, re.MULTILINE) for name in re.findall(r'Fl "([^"]+)"', line)}


class Pages(unittest.TestCase):
    def test_every_command_has_a_page_and_no_other_is_there(self):
        pages = {path.stem for path in (MANUAL / "man1").iterdir()}
        self.assertEqual(pages, {"-".join(("kudo-agent", *path)) for path in all_commands()})
        self.assertGreater(len(pages), 10)

    def test_each_has_the_options_of_its_command(self):
        for path in all_commands():
            self.assertEqual(options_in_page(path), options_in_help(path), path)
            self.assertIn("--help", options_in_page(path))

    def test_mandoc_finds_nothing_wrong(self):
        with tempfile.TemporaryDirectory() as folder:
            for page in MANUAL.glob("man[15]/*"):
                shutil.copy(page, folder)  # beside each other: references are looked up there
            names = sorted(os.listdir(folder))
            checked = run("mandoc", "-T", "lint", *names, cwd=folder)
            self.assertEqual((checked.returncode, checked.stdout), (0, ""))
            broken = pathlib.Path(folder, "kudo-agent.1")
            broken.write_text(broken.read_text() + ".Xr no-such-page 1\n")
            self.assertNotEqual(run("mandoc", "-T", "lint", *names, cwd=folder).returncode, 0, "the check cannot fail")


# What is typed, some of what is offered, and some of what is not.
OFFERS = [
    ("ena", ["enable"], ["disable"]),
    ("", ["enable", "status", "ranges", "run"], ["show"]),
    ("ranges ", ["show", "check", "rollback"], ["enable"]),
    ("--json ranges ro", ["rollback"], []),
    ("--bpffs /sys ranges ", ["show"], ["enable"]),
    ("enable --reg", ["--region"], ["--mode"]),
    ("enable --state-d", ["--state-dir"], []),
    ("enable --mode ", ["observe", "prioritise", "enforce"], ["ca"]),
    ("enable --region ", ["us", "eu", "ca", "cn"], ["observe"]),
    ("enable --interface ", ["lo"], ["ca"]),
    ("firewall show --format ", ["nft", "iptables", "ufw", "firewalld"], []),
    ("ranges rollback --to ", ["2022030100", "2022050002"], ["show"]),
]


class Completion(unittest.TestCase):
    def setUp(self):
        # For `ranges history`, which the scripts ask: a program of that name.
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        history = {"highest_serial": 2022050002, "history": [{"serial": 2022050002}, {"serial": 2022030100}]}
        fake = pathlib.Path(self.folder.name, "kudo-agent")
        fake.write_text(f"#!/bin/sh\ncat <<'TEXT'\n{json.dumps(history, indent=2)}\nTEXT\n")
        fake.chmod(0o755)
        path = f"{self.folder.name}:/usr/bin:/bin"
        self.environment = {"PATH": path, "HOME": self.folder.name, "TERM": "dumb", "LC_ALL": "C"}

    def check(self, offers_of, cases=OFFERS):
        for typed, offered, others in cases:
            found = offers_of(typed)
            for word in offered:
                self.assertIn(word, found, typed)
            for word in others:
                self.assertNotIn(word, found, typed)

    def bash(self, typed):
        script = f"""source /usr/share/bash-completion/bash_completion
source {MANUAL}/completion/bash/kudo-agent
COMP_LINE="kudo-agent $1"; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=($COMP_LINE)
[[ $COMP_LINE != *' ' ]] || COMP_WORDS+=('')
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_kudo_agent
printf '%s\\n' "${{COMPREPLY[@]}}" """
        return run("bash", "-c", script, "bash", typed, env=self.environment).stdout.split()

    def fish(self, typed):
        script = f"source {MANUAL}/completion/fish/kudo-agent.fish; complete -C 'kudo-agent {typed}'"
        lines = run("fish", "-N", "-c", script, env=self.environment).stdout.splitlines()
        return [line.split("\t")[0] for line in lines]

    # zsh completes only at a prompt: what it prints there is read.
    def zsh(self, typed):
        start = (f"PS1=rea'dy> '; fpath=({MANUAL}/completion/zsh $fpath); autoload -U compinit; compinit -D -u; "
                 "unsetopt beep; bindkey '^I' list-choices\n")
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe("zsh", ["zsh", "-f", "-i"], self.environment)

        def read_until(mark):
            text = ""
            while mark not in text and select.select([terminal], [], [], 30)[0]:
                try:
                    text += os.read(terminal, 65536).decode(errors="replace")
                except OSError:
                    break
            return text

        try:
            os.write(terminal, start.encode())
            read_until("ready> \x1b[?2004h")  # it reads keys from then on; not so as it was typed
            os.write(terminal, f"kudo-agent {typed}\t".encode())
            offered = read_until("ready> ")  # printed again below the choices
        finally:
            os.close(terminal)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        return re.findall(r"[\w.-]+", offered.replace(f"kudo-agent {typed}", ""))

    def test_bash(self):
        self.check(self.bash)
        self.assertEqual(self.bash("enable --region us,c"), ["us,ca", "us,cn"])
        self.assertEqual(self.bash("enable --mode=obs"), ["observe"])

    def test_fish(self):
        self.check(self.fish)
        self.assertIn("us,ca", self.fish("enable --region us,"))

    def test_zsh(self):
        self.check(self.zsh, [case for case in OFFERS if case[0] in
                              ("ena", "ranges ", "enable --mode ", "enable --interface ", "ranges rollback --to ")])

    def test_each_value_that_is_offered_is_one_that_the_parser_takes(self):
        script = (MANUAL / "completion/bash/kudo-agent").read_text()
        listed = re.findall(r"'([a-z ]+):(--[a-z0-9-]+)'\) _kudo_agent_words \S+ '([^']+)'", script)
        self.assertGreater(len(listed), 5)
        for path, option, words in listed:
            for word in words.split():
                # Refused for an option that does not exist or an argument that is missing, but not for this word.
                answer = run(PROGRAM, *path.split(), f"{option}={word}", "--no-such-option")
                self.assertEqual(answer.returncode, 2)
                self.assertNotIn(option + ":", answer.stdout, (path, word))


if __name__ == "__main__":
    PROGRAM, MANUAL = sys.argv[1], pathlib.Path(sys.argv[2])
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
