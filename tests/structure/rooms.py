#!/usr/bin/env python3
"""Checks the house's structure: which room may include which, that every .cpp has the header of its name, and that no
KUDO_TRY leaves an initialiser.

rooms.py SOURCE ROOMS    SOURCE: the tree; ROOMS: the rooms as CMake knows them, from the ground up (kudo_write_rooms)
rooms.py --self-test     shows that each rule can fail

Invariant: an include of a room that is not declared below, an arrow upwards and a circle are each an error.
"""
import pathlib
import re
import sys
import tempfile

FLOORS = ("bpf", "maps", "agent", "cli")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
WITHOUT_HEADER = {"cli/main.cpp", "cli/make_manual.cpp"}  # the roof: nobody calls it
GENERATED = {"kudo_bpf.skel.h", "kudo_drops.skel.h"}


def read_rooms(text):
    """{room: rooms that it names}, in the order of declaration."""
    rooms = {}
    for line in text.splitlines():
        name, _, below = line.partition(":")
        rooms[name] = below.split()
    return rooms


def problems_of_rooms(rooms):
    """A room may only name rooms that were declared before it: so there is no arrow upwards and no circle."""
    seen = set()
    for room, below in rooms.items():
        for other in below:
            if other not in seen:
                yield f"{room}: depends on {other}, which is not below it"
        seen.add(room)


def reachable(rooms, room):
    result, todo = {room}, [room]
    while todo:
        for other in rooms.get(todo.pop(), []):
            if other not in result:
                result.add(other)
                todo.append(other)
    return result


def problems_of_files(source, rooms):
    for floor in FLOORS:
        for path in sorted((source / floor).rglob("*")):
            if path.suffix not in (".h", ".cpp"):
                continue
            name = path.relative_to(source).as_posix()
            room = path.parent.relative_to(source).as_posix()
            if room not in rooms and name not in WITHOUT_HEADER:
                yield f"{name}: the folder is no room; declare it with kudo_room()"
                continue
            if path.suffix == ".cpp" and name not in WITHOUT_HEADER and not path.with_suffix(".h").exists():
                yield f"{name}: has no header of its name"
            allowed = reachable(rooms, room)
            for included in INCLUDE.findall(path.read_text(encoding="utf-8")):
                other = included.rpartition("/")[0] or room
                if name in WITHOUT_HEADER or included in GENERATED:
                    continue
                if other not in rooms:
                    yield f"{name}: includes {included}, which is in no room"
                elif other not in allowed:
                    yield f"{name}: includes {included}, but {room} does not depend on {other}"
                elif not (source / other / included.rpartition("/")[2]).exists():
                    yield f"{name}: includes {included}, which does not exist"


def without_words(text):
    """The code with its comments and strings blanked; every character keeps its place."""
    return re.sub(r'//[^\n]*|"(?:\\.|[^"\\\n])*"', lambda match: " " * len(match.group()), text)


def tries_in_braces(text):
    """Lines with KUDO_TRY between the braces of an initialiser, after another member: see maps/base/result.h."""
    code, opened = without_words(text), []
    for place, character in enumerate(code):
        if character in "({":
            opened.append(place)
        elif character in ")}" and opened:
            opened.pop()
        elif code.startswith("KUDO_TRY(", place) and opened and code[opened[-1]] == "{":
            inside = re.sub(r"\{[^{}]*\}", "", code[opened[-1] + 1 : place])
            is_body = code[: opened[-1]].rstrip().endswith((")", ">", "else", "do", "const", "noexcept", "mutable"))
            if "," in inside and ";" not in inside and not is_body:
                yield code.count("\n", 0, place) + 1


def problems_of_tries(source):
    for path in sorted(path for floor in FLOORS for path in (source / floor).rglob("*.cpp")):
        for line in tries_in_braces(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(source).as_posix()}:{line}: KUDO_TRY between braces leaks what is before it"


def check(source, rooms):
    return [*problems_of_rooms(rooms), *problems_of_files(source, rooms), *problems_of_tries(source)]


def self_test():
    good = {"bpf": [], "maps/base": ["bpf"], "agent/system": ["maps/base"]}

    def found(rooms, files):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return check(pathlib.Path(folder), rooms)

    files = {"bpf/abi.h": "", "maps/base/text.h": '#include "bpf/abi.h"\n', "agent/system/fd.h": ""}
    assert found(good, files) == []
    assert found({"maps/base": ["agent/system"], "agent/system": []}, {}), "an arrow upwards"
    assert found({"maps/base": ["maps/net"], "maps/net": ["maps/base"]}, {}), "a circle"
    assert found(good, files | {"maps/base/text.h": '#include "agent/system/fd.h"\n'}), "an include upwards"
    assert found(good, files | {"maps/base/alone.cpp": ""}), "no header"
    assert found(good, files | {"maps/cellar/wine.h": ""}), "a folder that is no room"
    assert list(tries_in_braces("return Root{tree(), KUDO_TRY(saved())};")) == [1]
    assert list(tries_in_braces("Saved next{.plan = text, .built = {},\n .saved = KUDO_TRY(f(a, b))};")) == [2]
    assert not list(tries_in_braces("int f() {\n auto a = KUDO_TRY(g()), b = KUDO_TRY(h());"))
    assert not list(tries_in_braces("if (a, b) { KUDO_TRY(f()); }\nauto x = KUDO_TRY(g());"))
    assert found(good, files | {"agent/system/fd.h": '#include "maps/base/gone.h"\n'}), "a header that is gone"


def main(arguments):
    if arguments == ["--self-test"]:
        self_test()
        return 0
    source, rooms = arguments
    problems = check(pathlib.Path(source), read_rooms(pathlib.Path(rooms).read_text(encoding="utf-8")))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
