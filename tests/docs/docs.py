#!/usr/bin/env python3
"""Checks README.md and docs/: docs.py SOURCE PROGRAM TOPIC

SOURCE: the tree. PROGRAM: kudo-agent. TOPIC: Links (each leads somewhere, and each page is in the index), Options (each that is
named exists), Quotes (what docs/troubleshooting.md quotes is in the program), Commands (each that is shown in a block `console`
is run). Exit status 77: something that the topic needs is not here.
"""
import concurrent.futures
import os
import pathlib
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE, PROGRAM = pathlib.Path(), ""

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)|<(?:img|a)\s[^>]*?(?:src|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ +(.*?) *#* *$", re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]*")


def run(*argv, **keywords):
    return subprocess.run([str(word) for word in argv], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, **keywords)


def pages(source):
    """All of the tree's, but for what a build has made and what is hidden."""
    found = []
    for folder, below, names in os.walk(source):
        below[:] = sorted(name for name in below if name != "build" and not name.startswith("."))
        found += [pathlib.Path(folder, name) for name in sorted(names) if name.endswith(".md")]
    return found


def guides(source):
    """Those whose commands are for users: README.md and docs/."""
    return [source / "README.md", *sorted((source / "docs").glob("*.md"))]


# ---------------------------------------------------------------------------------------------------------------- links

def anchors(page):
    """Of its headings, as they are made on the web: a second one of the same words has -1."""
    seen, found = {}, set()
    for words in HEADING.findall(FENCE.sub("", page.read_text())):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", words)
        name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        count = seen[name] = seen.get(name, -1) + 1
        found.add(f"{name}-{count}" if count else name)
    return found


def broken_links(source):
    found = []
    for page in pages(source):
        text = SPAN.sub("", FENCE.sub("", page.read_text()))
        for link in (one or other for one, other in LINK.findall(text)):
            if re.match(r"[a-z]+:", link):
                continue  # of the web: tests do not ask there
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            if not target.is_relative_to(source.resolve()) or not target.exists():
                found.append(f"{page.relative_to(source)}: {link}: there is no such file")
            elif anchor and anchor not in anchors(target):
                found.append(f"{page.relative_to(source)}: {link}: no heading of {target.name} has this anchor")
    return found


def pages_in_no_index(source):
    index = source / "docs/README.md"
    named = {(index.parent / (one or other).partition("#")[0]).resolve() for one, other in LINK.findall(index.read_text())}
    return [f"docs/README.md does not name {page.name}" for page in sorted(index.parent.glob("*.md"))
            if page != index and page.resolve() not in named]


class Links(unittest.TestCase):
    def test_each_leads_somewhere(self):
        self.assertEqual(broken_links(SOURCE), [])

    def test_the_index_names_each_page(self):
        self.assertEqual(pages_in_no_index(SOURCE), [])

    def test_one_that_leads_nowhere_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder)
            (source / "docs").mkdir()
            (source / "docs/README.md").write_text("# Docs\n[a](a.md#two-words) [web](https://example.com/gone)\n")
            (source / "docs/a.md").write_text("# A\n## Two words\n```console\n# no heading\n```\n")
            self.assertEqual(broken_links(source) + pages_in_no_index(source), [])
            (source / "docs/a.md").write_text("# A\n## Two word\n[b](b.md) [up](../../x.md) <img src=\"a.svg\">\n")
            (source / "docs/c.md").write_text("# C\n")
            self.assertEqual(len(broken_links(source)), 4)
            self.assertEqual(pages_in_no_index(source), ["docs/README.md does not name c.md"])


# -------------------------------------------------------------------------------------------------------------- options

# Those of other programs, where they stand alone.
OTHERS_OPTIONS = {"--short", "--seconds"}  # kudo_bench
# Programs whose options are not looked at.
OTHER_PROGRAMS = {"ansible-playbook", "apt", "cmake", "conntrack", "ctest", "curl", "firewall-cmd", "ip6tables-restore",
                  "iptables-restore", "nft", "nsenter", "promtool", "systemctl", "systemd-analyze", "vagrant"}


class Parser:
    """What the program's --help says that there is."""
    def __init__(self, program):
        self.program, self.known = program, {}
        self.add(())
        self.of_every_command = self.known[()]
        self.all = set().union(*self.known.values())

    def add(self, path):
        text = run(self.program, *path, "--help").stdout
        self.known[path] = {name for names in re.findall(r"^  (-[^ \n]*)", text, re.MULTILINE) for name in names.split(",")}
        for name in re.findall(r"^  ([a-z]+)(?:  |$)", text.partition("Subcommands:\n")[2].split("\n\n")[0], re.MULTILINE):
            self.add((*path, name))

    def command(self, words):
        """The longest command that `words` begin with; none: ()."""
        path = ()
        for word in words:
            if (*path, word) not in self.known:
                break
            path = (*path, word)
        return path


def wrong_options(text, parser):
    """In one code span or line of a block."""
    words = text.split()
    while words and (words[0] in ("$", "#", "sudo") or re.match(r"[A-Z_]+=", words[0])):
        words = words[1:]
    if not words or words[0] in OTHER_PROGRAMS or words[0].startswith(("tests/", "build/", "kudo_", "...")):  # tests' own
        return []
    ours = words[0] == "kudo-agent"
    if words[0] == "./bootstrap":
        ours = len(words) > 1 and (words[1],) in parser.known
        if not ours:
            return []
    path = parser.command(words[1:] if ours or words[0] == "./bootstrap" else words)
    if ours and not path and len(words) > 1 and re.fullmatch(r"[a-z]+", words[1]):
        return [f"{text}: there is no command {words[1]}"]
    allowed = parser.known[path] | parser.of_every_command if path else parser.all | OTHERS_OPTIONS
    # `--nats-...` means all that begin so.
    return [f"{text}: {option} is no option of {' '.join(path) or 'any command'}" for option in OPTION.findall(text)
            if option not in allowed and not (option.endswith("-") and any(name.startswith(option) for name in allowed))]


def wrong_options_of(page, parser):
    text, found = page.read_text(), []
    for kind, block in FENCE.findall(text):
        if kind == "console":
            for command in commands_of(block):
                for part in re.split(r"&&|;|\|", command):
                    found += wrong_options(part, parser)
    for span in SPAN.findall(FENCE.sub("", text)):
        found += wrong_options(" ".join(span.split()), parser)
    return [f"{page.name}: {problem}" for problem in found]


def problem_of_configuration(text):
    """What the program says of it, but for folders and files of the example that are not here."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "kudo-agent.toml")
        file.write_text(text)
        done = run(PROGRAM, "--config", str(file), "--state-dir", f"{folder}/state", "run", "--check")
    absent = done.stdout.rstrip().endswith("No such file or directory")
    return "" if done.returncode == 0 or absent else done.stdout


class Options(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.parser = Parser(PROGRAM)

    def test_each_that_is_named_exists(self):
        self.assertEqual([problem for page in guides(SOURCE) for problem in wrong_options_of(page, self.parser)], [])

    def test_each_configuration_is_accepted(self):
        shipped = (SOURCE / "packaging/kudo-agent.toml").read_text()
        texts = [block for page in guides(SOURCE) for kind, block in FENCE.findall(page.read_text()) if kind == "toml"]
        texts.append(re.sub(r"^# (?=\[|[a-z-]+ = )", "", shipped, flags=re.MULTILINE))
        self.assertGreater(len(texts), 2)
        for text in texts:
            self.assertEqual(problem_of_configuration(text), "", text)
            self.assertNotEqual(problem_of_configuration(text + "\nregoin = 1\n"), "", text)

    def test_one_that_does_not_is_found(self):
        for text in ("kudo-agent enable --regoin us", "enable --watch", "--regoin", "kudo-agent enabel",
                     "# sudo kudo-agent --x", "./bootstrap stats --flow"):
            self.assertEqual(len(wrong_options(text, self.parser)), 1, text)
        for text in ("kudo-agent enable --region us", "--json", "stats --json", "run --nats-...", "ctest -L unit --no"):
            self.assertEqual(wrong_options(text, self.parser), [], text)


# --------------------------------------------------------------------------------------------------------------- quotes

STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')


def strings_of_program(source):
    """All that it may say, with what stands in the place of a value as a gap."""
    texts = []
    for floor in ("agent", "cli"):
        for path in sorted((source / floor).rglob("*.cpp")):
            joined = re.sub(r'"\s*\n\s*"', "", path.read_text())
            texts += STRING.findall(joined)
    return "\n".join(re.sub(r"\{[^{}]*\}", "\0", text).replace('\\"', '"') for text in texts)


def quotes_of(page):
    """Code spans that are sentences of the program: they begin with a capital and have several words, or leave some out."""
    text = FENCE.sub("", page.read_text())
    return [" ".join(span.split()) for span in SPAN.findall(text) if "…" in span or re.match(r"[A-Z][a-z]+ [a-z]", span)]


def quotes_of_nobody(page, said):
    return [quote for quote in quotes_of(page)
            if not all(piece.strip() in said for piece in quote.split("…") if piece.strip())]


class Quotes(unittest.TestCase):
    PAGE = "docs/troubleshooting.md"

    def test_the_program_has_each_sentence(self):
        self.assertGreater(len(quotes_of(SOURCE / self.PAGE)), 10)
        self.assertEqual(quotes_of_nobody(SOURCE / self.PAGE, strings_of_program(SOURCE)), [])

    def test_one_that_it_does_not_say_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder, "page.md")
            page.write_text("`Lost before this host: … never arrived.` `Lost by this host: … never arrived.` `enable`")
            self.assertEqual(quotes_of_nobody(page, strings_of_program(SOURCE)), ["Lost by this host: … never arrived."])


# ------------------------------------------------------------------------------------------------------------- commands

# Played by a script of that name: what it would change is not a test's to change, or what it needs is not here.
PLAYED = {
    "sudo": 'exec "$@"',
    "apt": ":  # tests/package installs the package",
    "systemctl": ":  # tests/package/boot.py has systemd",
    "adduser": ":  # tests/package/boot.py has the group",
    "curl": ":  # tests/e2e/metrics asks",
    "conntrack": ":  # of a router's clients: tests/e2e/gateways has them",
}
# How a command ends that does not end with 0, and what it says then: nobody answers in the stage, and a test has no login.
ENDS = {
    "kudo-agent doctor": (4, "fail"),
    "kudo-agent confirm": (1, "confirm"),
    "kudo-agent fleet": (1, "nats.example.com"),
}
# Pages that begin with one of these take an enabled host for granted.
OF_AN_ENABLED_HOST = {"confirm", "disable", "firewall", "report", "stats", "status", "top"}
# What a page leaves out.
FILLED_IN = [(" --nats ...", " --nats tls://nats.example.com:4222"),
             (re.compile(r" \.\.\.(?=;|$)"), " --nats tls://nats.example.com:4222 --fleet acme")]

STAGE = """set -eu
mount -t bpf bpf "$STAGE/bpf"
mount --bind "$STAGE/hosts" /etc/hosts
[ ! -e /etc/resolv.conf ] || mount --bind "$STAGE/resolv.conf" "$(readlink -f /etc/resolv.conf)"
ip -batch - <<'TEXT'
link set lo up
link add eth0 type veth peer name far
address add 10.77.0.2/24 dev eth0
link set eth0 up
link set far up
neighbour add 10.77.0.1 lladdr 02:00:00:00:00:01 dev eth0
route add default via 10.77.0.1
TEXT
nft 'add table inet filter; add chain inet filter input { type filter hook input priority 0; }
     add table inet stage; add chain inet stage output { type filter hook output priority 0; }
     add rule inet stage output udp dport 53 reject; add rule inet stage output meta l4proto tcp reject with tcp reset'
cd "$STAGE/here"
case $KUDO_DOCS_COMMANDS in *.json*)
    minisign -G -W -f -s operator.key -p "$STAGE/keys/operator.pub" >/dev/null
    minisign -G -W -f -s old.key -p "$STAGE/keys/old.pub" >/dev/null
    minisign -G -W -f -s new.key -p new.pub >/dev/null
    kudo-agent ranges show --region us,eu,ca,cn --json | sed 's/"serial": 2022030100/"serial": 2022040100/' >map.json
    printf '{"format": "kudo-key-set/1", "serial": 1, "threshold": 1, "keys": ["%s", "%s"]}' \\
        "$(tail -1 "$STAGE/keys/old.pub")" "$(tail -1 new.pub)" >keys.json
esac
cp "$SOURCE/packaging/prometheus/"*.yml .
[ -z "$ENABLED" ] || kudo-agent enable --region ca >/dev/null
exec "$PYTHON" "$TEST" "$SOURCE" "$PROGRAM" --commands
"""


def commands_of(block):
    """Its lines that begin with a prompt, with what continues them, without their comments."""
    found = []
    for line in block.splitlines():
        if found and found[-1].endswith(("\\", "|")):
            found[-1] = found[-1].rstrip("\\") + " " + line.strip()
        elif re.match(r"[$#] \S", line):
            found.append(re.sub(r"\s{2,}#.*", "", line[2:]))
    return found


def commands_in(page):
    return [command for kind, block in FENCE.findall(page.read_text()) if kind == "console" for command in commands_of(block)]


def as_run(command):
    """What is run for it: the same, but for what would take long or is left out."""
    for left_out, put_in in FILLED_IN:
        command = left_out.sub(put_in, command) if isinstance(left_out, re.Pattern) else command.replace(left_out, put_in)
    if " report " in command and "--show" not in command:  # the others have doctor run
        command = command.replace(" report ", " report --no-doctor --for 0 ")
    return command


def ends_with(command):
    return next((end for part, end in ENDS.items() if part in command.replace("./bootstrap", "kudo-agent")), (0, ""))


def problem_of(command):
    """Runs it where the program reaches nothing but its own stage; nothing: it did as it should."""
    line, (status, said) = as_run(command), ends_with(command)
    argv = ["sh", "-c", line]
    if " top" in line:  # a terminal's, which is read until it ends
        leader, terminal = pty.openpty()
        os.write(leader, b"q")
        try:
            done = subprocess.run(argv, stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, text=True, timeout=60)
        finally:
            os.close(terminal)
            os.close(leader)
        output = done.stderr
    else:
        done = run(*argv, timeout=120)
        output = done.stdout
    if done.returncode == status and said in output:
        return None
    return f"{command}: exit status {done.returncode} in place of {status} ({said!r}):\n{output}"


def run_commands(commands):
    """In a stage of their own, one after the other. Returns (problems, output)."""
    with tempfile.TemporaryDirectory(prefix="kudo-docs-", dir="/run") as folder:
        stage = pathlib.Path(folder)
        for name in ("bpf", "state", "keys", "bin", "here"):
            (stage / name).mkdir()
        (stage / "kudo-agent.toml").write_text("")
        (stage / "hosts").write_text("127.0.0.1 localhost nats.example.com maps.example.com\n")
        (stage / "resolv.conf").write_text("nameserver 10.77.0.1\n")
        own = (f'exec "{PROGRAM}" --bpffs "{stage}/bpf" --state-dir "{stage}/state" --config "{stage}/kudo-agent.toml" '
               f'--keys "{stage}/keys" --query-socket "{stage}/query.sock" "$@"')
        # As kudo-agent, from where ./bootstrap is as well; of its own commands it has what prints the package's name.
        bootstrap = f'case $1 in deb) echo kudo-agent.deb;; install|test) ;; *) exec "{stage}/bin/kudo-agent" "$@";; esac'
        for path, text in [(stage / "bin/kudo-agent", own), (stage / "here/bootstrap", bootstrap),
                           *((stage / "bin" / name, text) for name, text in PLAYED.items())]:
            path.write_text(f"#!/bin/sh\n{text}\n")
            path.chmod(0o755)
        environment = {**os.environ, "STAGE": str(stage), "SOURCE": str(SOURCE), "PROGRAM": PROGRAM, "PYTHON": sys.executable,
                       "TEST": __file__, "KUDO_DOCS_COMMANDS": "\n".join(commands), "NO_COLOR": "1", "TERM": "xterm",
                       "PATH": f"{stage}/bin:{os.environ['PATH']}:/usr/sbin:/sbin"}
        ours = [words for command in commands if (words := command.removeprefix("sudo ").split())[0] == "kudo-agent"]
        first = ours[0][1] if ours else ""
        environment["ENABLED"] = first if first in OF_AN_ENABLED_HOST else ""
        # A process namespace: whatever is left running ends with it.
        return run("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", STAGE,
                   env=environment)


def why_no_stage():
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [name for name in ("ip", "minisign", "nft", "unshare") if not shutil.which(name, path=path)]
    if missing:
        return f"missing: {' '.join(missing)}"
    with tempfile.TemporaryDirectory(prefix="kudo-docs-") as folder:
        tried = run("unshare", "--net", "--mount", "mount", "-t", "bpf", "bpf", folder)
        return tried.stdout if tried.returncode != 0 else ""


def commands_that_are_not_run(page):
    return [command for kind, block in FENCE.findall(page.read_text()) if kind != "console"
            for command in commands_of(block) if re.match(r"(sudo )?(\./)?(kudo-agent|bootstrap) ", command)]


class Commands(unittest.TestCase):
    maxDiff = None

    def test_each_is_in_a_block_that_is_run(self):
        self.assertEqual([(page.name, found) for page in guides(SOURCE) if (found := commands_that_are_not_run(page))], [])
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder, "page.md")
            page.write_text("```\n$ kudo-agent status\n```\n")
            self.assertEqual(commands_that_are_not_run(page), ["kudo-agent status"])

    def test_each_does_as_it_should(self):
        shown = {page: commands for page in guides(SOURCE) if (commands := commands_in(page))}
        self.assertGreater(sum(map(len, shown.values())), 40)
        with concurrent.futures.ThreadPoolExecutor(6) as several:  # most of their time they wait
            for page, done in zip(shown, several.map(run_commands, shown.values())):
                with self.subTest(page=page.name):
                    self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_one_that_does_not_is_found(self):
        wrong = ["kudo-agent enable --regoin ca", "kudo-agent enable --region xx", "kudo-agent stat",
                 "nft add rule inet gone x drop"]
        done = run_commands(["kudo-agent status", *wrong])
        self.assertEqual(done.returncode, 1)
        for command in wrong:
            self.assertIn(f"{command}: exit status ", done.stdout)
        self.assertNotIn("status: exit status", done.stdout)

    def test_what_readme_prints_is_what_the_demo_prints(self):
        def lines(text):  # numbers differ, and with them the columns
            return {" ".join(re.sub(r"[0-9][0-9.]*( [kM]?B)?\b", "N", line).split()) for line in text.splitlines()}
        done = run(PROGRAM, "demo", env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"})
        self.assertEqual(done.returncode, 0, done.stdout)
        block = next(block for kind, block in FENCE.findall((SOURCE / "README.md").read_text()) if "stats" in block)
        shown = block.partition("stats")[2].partition("\n")[2]
        self.assertGreater(len(lines(shown)), 5)
        self.assertEqual(lines(shown) - lines(done.stdout) - {"", "..."}, set())


def main(arguments):
    global SOURCE, PROGRAM
    SOURCE, PROGRAM, topic = pathlib.Path(arguments[0]).resolve(), os.path.abspath(arguments[1]), arguments[2]
    if topic == "--commands":  # inside of a stage
        problems = [problem for command in os.environ["KUDO_DOCS_COMMANDS"].splitlines() if (problem := problem_of(command))]
        print("\n".join(problems), end="")
        return 1 if problems else 0
    if topic == "Commands" and (reason := why_no_stage()):
        print(reason)
        return 77
    result = unittest.main(argv=[sys.argv[0], topic, *arguments[3:]], verbosity=2, exit=False).result
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
