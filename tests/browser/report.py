#!/usr/bin/env python3
"""Looks at reports with a browser: report.py [PAGE...]

Chromium, headless, shows each page light and dark, 360 and 1280 pixels wide: nothing may be wider than the window, the answer must
be in the first window, and the page must load nothing and complain of nothing; printed it must be A4. Without PAGE, the pages that
the e2e tests `Report.*` (build/release) make. Pictures and PDFs are left in the folder that it names, to be looked at. Takes the
package chromium; not part of CI, since the browser is larger than all the rest together.
"""
import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
A4 = (595, 842)  # points


class Browser:
    """The DevTools protocol over two pipes (--remote-debugging-pipe): messages of JSON that end with a zero byte."""

    def __init__(self, profile):
        to_read, self.write = os.pipe()
        self.read, to_write = os.pipe()

        def give_pipes():
            os.dup2(to_read, 103)
            os.dup2(to_write, 104)
            os.dup2(103, 3)
            os.dup2(104, 4)
            os.set_inheritable(3, True)
            os.set_inheritable(4, True)

        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
             f"--user-data-dir={profile}", "--remote-debugging-pipe"], preexec_fn=give_pipes, close_fds=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.number, self.rest, self.events, self.session = 0, b"", [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(domain + ".enable")

    def next(self):
        while b"\0" not in self.rest:
            more = os.read(self.read, 1 << 20)
            if not more:
                raise AssertionError("the browser has ended")
            self.rest += more
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.next()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def open(self, page):
        self.events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.next())

    def value(self, expression):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def end(self):
        self.process.kill()
        self.process.wait()


def check(what, holds, found):
    print(f"{'ok  ' if holds else 'FAIL'} {what}: {found}", flush=True)
    return holds


def look_at(browser, page, folder):
    name, right = page.stem, []
    for scheme in ("light", "dark"):
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        for width, height in ((360, 740), (1280, 900)):
            browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
            browser.open(page)
            shown = f"{name}, {scheme}, {width} px"
            wide = browser.value("[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && "
                                 "getComputedStyle(e).clipPath === 'none' && !e.closest('thead')).map(e => e.tagName + '.' + "
                                 "e.className).slice(0, 5).concat(document.documentElement.scrollWidth > innerWidth ? ['page'] : [])")
            right.append(check(f"{shown}: nothing is wider than the window", wide == [], wide))
            bottom = browser.value("document.querySelector('dd.who').getBoundingClientRect().bottom")
            right.append(check(f"{shown}: who must act is in the first window", bottom <= height, f"{bottom:.0f} px"))
            background = browser.value("getComputedStyle(document.body).backgroundColor")
            bright = sum(map(int, re.findall(r"\d+", background)[:3])) > 384
            right.append(check(f"{shown}: the colours are of that scheme", bright == (scheme == "light"), background))
            loads = [event["params"]["request"]["url"][:80] for event in browser.events
                     if event.get("method") == "Network.requestWillBeSent"]
            complaints = [event["params"] for event in browser.events
                          if event.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown")]
            right.append(check(f"{shown}: only the page is loaded", len(loads) == 1 and not complaints, loads + complaints))
            whole = browser.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            (folder / f"{name}-{scheme}-{width}.png").write_bytes(base64.b64decode(whole))
    pdf = base64.b64decode(browser.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])
    (folder / f"{name}.pdf").write_bytes(pdf)
    boxes = {tuple(round(float(side)) for side in box.split()[2:]) for box in re.findall(rb"/MediaBox ?\[([^\]]*)\]", pdf)}
    sheets = len(re.findall(rb"/Type ?/Page\b", pdf))
    right.append(check(f"{name}: printed it is A4", boxes and all(abs(w - A4[0]) <= 1 and abs(h - A4[1]) <= 1 for w, h in boxes),
                       f"{boxes}, {sheets} sheets"))
    return right


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kudo-report-"))
    pages = [pathlib.Path(word) for word in sys.argv[1:]]
    if not pages:
        subprocess.run([ROOT / "build/release/tests/e2e/kudo_e2e_tests", "--gtest_filter=Report.*", "--gtest_brief=1"], check=True,
                       env={**os.environ, "KUDO_REPORT_PAGES": str(folder)})
        pages = sorted(folder.glob("*.html"))
    browser, right = Browser(folder / "profile"), []
    try:
        for page in pages:
            right += look_at(browser, page, folder)
    finally:
        browser.end()
    print(f"{sum(map(bool, right))} of {len(right)} as they should be; to be looked at: {folder}")
    return 0 if right and all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
