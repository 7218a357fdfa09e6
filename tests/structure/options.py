#!/usr/bin/env python3
"""Checks that what the program tells people to type exists: every option that stands in one of its texts is one that a
command declares, or stands below as another program's.

options.py SOURCE      SOURCE: the tree
options.py --self-test shows that it can fail
"""
import pathlib
import re
import sys
import tempfile

OF_OTHER_PROGRAMS = {"--net": "nsenter", "--noflush": "iptables-restore", "--ctstate": "iptables", "--cap-add": "docker",
                     "--network": "docker"}
COMMENT = re.compile(r"//[^\n]*")
TEXT = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
DECLARED = re.compile(r"(?:-\w,)?--[a-z0-9-]+(?:,--[a-z0-9-]+)*")
NAMED = re.compile(r"--[a-z][a-z0-9-]*")


def problems(source):
    declared, named = set(OF_OTHER_PROGRAMS), []
    for floor in ("agent", "cli"):
        for path in sorted((source / floor).rglob("*")):
            if path.suffix not in (".cpp", ".h"):
                continue
            for text in TEXT.findall(COMMENT.sub("", path.read_text())):
                options = NAMED.findall(text)
                if DECLARED.fullmatch(text):
                    declared.update(options)
                else:
                    named += [(option, path.relative_to(source)) for option in options]
    return [f"{path}: {option} is no option of any command" for option, path in named if option not in declared]


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        cli = pathlib.Path(folder, "cli")
        cli.mkdir()
        cli.joinpath("a.cpp").write_text('add_option("--region", x); fail("try --region us"); // --gone\n')
        assert problems(pathlib.Path(folder)) == []
        cli.joinpath("b.cpp").write_text('fail("try --regoin us")\n')
        assert len(problems(pathlib.Path(folder))) == 1
    return []


if __name__ == "__main__":
    found = self_test() if sys.argv[1:] == ["--self-test"] else problems(pathlib.Path(sys.argv[1]))
    print("\n".join(found))
    sys.exit(1 if found else 0)
