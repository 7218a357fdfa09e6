#!/usr/bin/env python3
"""Draws kudo-agent.json, the dashboard for Grafana, as one SVG, from a Prometheus server and without Grafana.

render.py PROMETHEUS [MINUTES] > dashboard.svg      PROMETHEUS: http://127.0.0.1:9090; the last MINUTES, 5 by default

The panels, their places and their queries are the dashboard's; that Grafana has not drawn them stands below them. It is how
docs/dashboard.svg is made (tests/metrics/picture.py), and how to see on a host without Grafana what the dashboard would show.
"""
import html
import json
import pathlib
import sys
import time
import urllib.parse
import urllib.request

COLUMN, ROW, GAP, TITLE = 50, 32, 8, 40  # of Grafana's grid of 24 columns
COLOURS = ["#3fb950", "#58a6ff", "#d29922", "#f778ba", "#a371f7", "#39c5cf", "#ff7b72", "#8b949e"]
UNITS = {"percent": (1e18, ["%"]), "pps": (1000, ["p/s", "kp/s", "Mp/s"]), "bps": (1000, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]),
         "bytes": (1024, ["B", "KiB", "MiB", "GiB"]), "s": (1e9, ["s"])}
STYLE = """text{font:12px system-ui,sans-serif;fill:#c9d1d9}.t{font-weight:600;fill:#f0f6fc}.q{fill:#8b949e;font-size:11px}
.v{font-size:30px;font-weight:600;text-anchor:middle}.r{text-anchor:end}rect{fill:#161b22;stroke:#30363d}
.page{fill:#0d1117;stroke:none}path{fill:none;stroke-width:1.5}.g{stroke:#30363d;stroke-width:1}"""


class Prometheus:
    def __init__(self, address, minutes):
        self.address, self.end = address.rstrip("/"), time.time()
        self.begin = self.end - 60 * minutes
        targets = self.ask("targets", state="active")["activeTargets"]
        # "15s", "1m": as Grafana takes four times the interval.
        seconds = [float(each["scrapeInterval"][:-1]) * {"s": 1, "m": 60}.get(each["scrapeInterval"][-1], 1) for each in targets]
        self.interval = f"{max([15.0] + [4 * each for each in seconds]):.0f}s"

    def ask(self, path, **arguments):
        with urllib.request.urlopen(f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(arguments)}", timeout=30) as answer:
            return json.load(answer)["data"]

    # As Grafana fills its variables in, with all jobs and hosts selected.
    def query(self, expression):
        for name, value in (("$job", ".*"), ("$instance", ".*"), ("$__rate_interval", self.interval)):
            expression = expression.replace(name, value)
        return expression

    # Of each series: its labels, and (time, value).
    def over_time(self, expression):
        found = self.ask("query_range", query=self.query(expression), start=self.begin, end=self.end, step=2)["result"]
        return [(each["metric"], [(when, float(value)) for when, value in each["values"] if value != "NaN"]) for each in found]

    def now(self, expression):
        return [(each["metric"], float(each["value"][1])) for each in self.ask("query", query=self.query(expression), time=self.end)["result"]]


def legend(target, labels):
    text = target.get("legendFormat") or ""
    for name, value in labels.items():
        text = text.replace("{{" + name + "}}", value)
    while "{{" in text:  # a label that this series has not
        text = text[: text.index("{{")] + text[text.index("}}") + 2 :]
    return text.strip()


def value_text(value, unit):
    step, names = UNITS.get(unit, (1e18, [""]))
    power = 0
    while abs(value) >= step and power + 1 < len(names):
        value, power = value / step, power + 1
    return f"{value:.10g}" if value == int(value) else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}", names[power]


def text(x, y, words, kind=""):
    return f'<text x="{x:.0f}" y="{y:.0f}"{f" class={chr(34)}{kind}{chr(34)}" if kind else ""}>{html.escape(words)}</text>'


def stat(panel, prometheus, x, y, width, height):
    unit, parts = panel["fieldConfig"]["defaults"].get("unit", ""), []
    values = [(legend(target, labels), value) for target in panel["targets"] for labels, value in prometheus.now(target["expr"])]
    for place, (name, value) in enumerate(values):
        middle = x + width * (2 * place + 1) / (2 * len(values))
        shown = " ".join(value_text(value, unit)).strip()
        mapped = [each["options"].get(shown, {}).get("text") for each in panel["fieldConfig"]["defaults"].get("mappings", [])
                  if each.get("type") == "value"]
        parts += [text(middle, y + height / 2 + 16, next(filter(None, mapped), shown), "v"),
                  text(middle, y + height - 10, name, "q").replace("<text", '<text text-anchor="middle"')]
    return parts or [text(x + 12, y + height / 2, "no data", "q")]


def chart(panel, prometheus, x, y, width, height):
    unit = panel["fieldConfig"]["defaults"].get("unit", "")
    series = [(legend(target, labels), points) for target in panel["targets"] for labels, points in prometheus.over_time(target["expr"])]
    silent = [name for name, points in series if not any(value for _, value in points)]
    series = [(name, points) for name, points in series if name not in silent]
    more, series = len(series) - len(COLOURS), series[: len(COLOURS)]
    most = max([value for _, points in series for _, value in points] + [0])
    if not series:
        return [text(x + 12, y + height / 2, "no data" if not silent else f"0 all the time: {len(silent)} series", "q")]
    lines = (len(series) + 1) // 2
    note = [text(x + width - 12, y + 22, f"and {more} more", "q r")] if more > 0 else []
    left, top, right, bottom = x + 74, y + TITLE, x + width - 12, y + height - 26 - 16 * lines
    parts = note
    for share in (0, 0.5, 1):
        level = bottom - share * (bottom - top)
        parts += [f'<path class="g" d="M{left} {level:.1f}H{right}"/>', text(left - 6, level + 4, " ".join(value_text(share * most, unit)), "q r")]
    for minute in range(int(prometheus.begin // 60) + 1, int(prometheus.end // 60) + 1):
        at = left + (right - left) * (60 * minute - prometheus.begin) / (prometheus.end - prometheus.begin)
        parts.append(text(at, bottom + 14, time.strftime("%H:%M", time.gmtime(60 * minute)), "q").replace("<text", '<text text-anchor="middle"'))
    for place, (name, points) in enumerate(series):
        path, before = "", None
        for when, value in points:
            at = left + (right - left) * (when - prometheus.begin) / (prometheus.end - prometheus.begin)
            path += f'{"M" if before is None or when - before > 6 else "L"}{at:.1f} {bottom - (bottom - top) * value / most:.1f}'
            before = when
        colour = COLOURS[place]
        column, line = x + 14 + place % 2 * (width / 2 - 8), bottom + 32 + 16 * (place // 2)
        parts += [f'<path stroke="{colour}" d="{path}"/>', f'<path stroke="{colour}" stroke-width="3" d="M{column:.0f} {line - 4:.0f}h14"/>',
                  text(column + 20, line, name)]
    return parts


def draw(dashboard, prometheus):
    bottom, parts = 0, []
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        x, y = grid["x"] * COLUMN + GAP, grid["y"] * ROW + TITLE + GAP
        width, height = grid["w"] * COLUMN - GAP, grid["h"] * ROW - GAP
        parts += [f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4"/>', text(x + 12, y + 22, panel["title"], "t")]
        parts += (stat if panel["type"] == "stat" else chart)(panel, prometheus, x, y, width, height)
        bottom = max(bottom, y + height)
    width, height = 24 * COLUMN + GAP, bottom + 34
    note = ("Drawn by packaging/grafana/render.py from the dashboard's own queries; Grafana itself draws it otherwise. "
            "Series that were 0 all the time are left out. Times are UTC.")
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="t d">',
                      f'<title id="t">{html.escape(dashboard["title"])}: the dashboard for Grafana</title>', f'<desc id="d">{html.escape(note)}</desc>',
                      f"<style>{STYLE}</style>", f'<rect class="page" width="{width}" height="{height}"/>',
                      text(16, 28, dashboard["title"], "t"), *parts, text(12, bottom + 22, note, "q"), "</svg>"])


def main(arguments):
    if not 1 <= len(arguments) <= 2 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    dashboard = json.loads(pathlib.Path(__file__).with_name("kudo-agent.json").read_text())
    print(draw(dashboard, Prometheus(arguments[0], float(arguments[1]) if len(arguments) == 2 else 5)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
