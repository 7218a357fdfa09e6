#!/usr/bin/env python3
"""Checks what is shipped for Prometheus and Grafana: rules are valid and do what their tests say, and every metric that
rules, dashboard and docs/metrics.md name is one that agent/metrics exports, and the other way round.

metrics.py SOURCE      SOURCE: the tree
metrics.py --self-test shows that it can fail

Exit status 77: promtool is not here, and all but what it does is right.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

METRIC = re.compile(r"\bkudo_[a-z0-9_]+\b")
# With what is indented further below it: "expr: |".
RULE = re.compile(r"^( *)expr:(.*(?:\n\1 .*)*)", re.M)
LITERAL = re.compile(r'"(kudo_[a-z0-9_]+)"')


def exported(families):
    both = set(re.findall(r'Traffic \w+\("(\w+)"', families))  # packets and bytes
    return (set(LITERAL.findall(families)) - both) | {f"{name}_{unit}_total" for name in both for unit in ("packets", "bytes")}


def expressions(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            else:
                yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def problems(source):
    names = exported(source.joinpath("agent/metrics/families.cpp").read_text())
    dashboard = json.loads(source.joinpath("packaging/grafana/kudo-agent.json").read_text())
    rules = source.joinpath("packaging/prometheus/kudo-agent.rules.yml").read_text()
    documented = set(METRIC.findall(source.joinpath("docs/metrics.md").read_text()))
    named = {"dashboard": set(METRIC.findall("\n".join(expressions(dashboard)))),
             "rules": set(METRIC.findall("\n".join(rule for _, rule in RULE.findall(rules)))),
             "docs/metrics.md": documented}
    found = [f"{place}: names no metric at all" for place, metrics in named.items() if not metrics]
    found += [f"{place}: {name} is not exported" for place, metrics in named.items() for name in sorted(metrics - names)]
    # promtool evaluates each group by the interval of its tests, not by the group's.
    tests = source.joinpath("packaging/prometheus/kudo-agent.test.yml").read_text()
    if re.findall(r"^    interval: (.*)", rules, re.M) != re.findall(r"^evaluation_interval: (.*)", tests, re.M):
        found.append("rules: a group's interval is not that of the tests")
    return found + [f"docs/metrics.md does not name {name}" for name in sorted(names - documented)]


def promtool(source):
    folder = source / "packaging/prometheus"
    found = []
    for command in (["check", "rules", "kudo-agent.rules.yml"], ["test", "rules", "kudo-agent.test.yml"]):
        run = subprocess.run(["promtool", *command], cwd=folder, text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
        if run.returncode != 0:
            found.append(f"promtool {' '.join(command)}: {run.stdout}")
    return found


def self_test(source):
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder)
        for path in ("agent/metrics", "packaging/grafana", "packaging/prometheus", "docs"):
            shutil.copytree(source / path, copy / path)
        assert problems(copy) == [], problems(copy)
        for path, old, new in (("packaging/grafana/kudo-agent.json", "kudo_healthy", "kudo_helthy"),
                               ("packaging/prometheus/kudo-agent.rules.yml", "kudo_healthy", "kudo_helthy"),
                               ("packaging/prometheus/kudo-agent.rules.yml", "(job, ring) (kudo_range", "(job, ring) (kudo_rage"),
                               ("packaging/prometheus/kudo-agent.rules.yml", "interval: 15s", "interval: 1m"),
                               ("docs/metrics.md", "kudo_healthy", "kudo_helthy")):
            right = copy.joinpath(path).read_text()
            assert old in right, (path, old)
            copy.joinpath(path).write_text(right.replace(old, new))
            assert problems(copy), path
            copy.joinpath(path).write_text(right)
        rules = copy / "packaging/prometheus/kudo-agent.rules.yml"
        rules.write_text(rules.read_text().replace("kudo_healthy == 0", "kudo_healthy == 1"))
        assert not shutil.which("promtool") or promtool(copy)
    return []


if __name__ == "__main__":
    root = pathlib.Path(__file__).resolve().parents[2]
    self_tests, has_promtool = sys.argv[1:] == ["--self-test"], shutil.which("promtool")
    wrong = self_test(root) if self_tests else problems(pathlib.Path(sys.argv[1]))
    if has_promtool and not self_tests:
        wrong += promtool(pathlib.Path(sys.argv[1]))
    print("\n".join(wrong + ([] if has_promtool else ["there is no promtool"])))
    sys.exit(1 if wrong else 0 if has_promtool else 77)
