"""What a person sees in a report (SPEC O2), asked of a headless Chromium: nothing overlaps, axes have labels with
units, nothing of a log becomes markup or a script, nothing else is requested. And the numbers are those of the rows.

    look.py .../s3dlio [folder for the pages and their pictures]
"""

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

HEADER = "idx\tthread\top\tclient_id\tn_objects\tbytes\tendpoint\tfile\terror\tstart\tfirst_byte\tend\tduration_ns"
EVIL = "<script>window.pwned=1</script><img src=http://127.0.0.1:9/x onerror=window.pwned=1>'\\x22><b>&amp;\\u2028\u202e"
SIZES = [0, 2_000, 40_000, 500_000, 8 << 20, 100 << 20, 1 << 30]

# What a page looks like, as rectangles and facts. Runs in the browser.
LOOK = """() => {
  const box = (element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    const r = range.getBoundingClientRect();
    return {left: r.left, right: r.right, top: r.top, bottom: r.bottom, text: element.textContent.trim().slice(0, 60)};
  };
  const apart = (boxes) => {
    const found = [];
    boxes = boxes.filter((b) => b.text && b.right > b.left);
    for (let i = 0; i < boxes.length; i++)
      for (let j = i + 1; j < boxes.length; j++) {
        const [a, b] = [boxes[i], boxes[j]];
        if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
          found.push(a.text + ' | ' + b.text);
      }
    return found;
  };
  const texts = (selector) => [...document.querySelectorAll(selector)];
  const luminance = (colour) => {
    const parts = colour.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = (element, property) =>
    1.05 / (luminance(getComputedStyle(element)[property]) + 0.05) < 4.5;
  return {
    charts: texts('svg').map((svg) => {
      const inside = [...svg.querySelectorAll('text')], frame = svg.getBoundingClientRect();
      return {
        what: svg.getAttribute('aria-label'),
        x: [...svg.querySelectorAll('.label.x')].map((label) => label.textContent),
        y: [...svg.querySelectorAll('.label.y')].map((label) => label.textContent),
        ticks: svg.querySelectorAll('.tick').length,
        overlaps: apart(inside.map(box)),
        outside: inside.map(box).filter((b) => b.left < frame.left - 1 || b.right > frame.right + 1 ||
          b.top < frame.top - 1 || b.bottom > frame.bottom + 1).map((b) => b.text),
        small: inside.some((text) => text.getBoundingClientRect().height < 8),
        curves: [...svg.querySelectorAll('.curve')].map((curve) => curve.getBoundingClientRect()).filter((r) =>
          r.left < frame.left - 1 || r.right > frame.right + 1 || r.top < frame.top || r.bottom > frame.bottom).length,
      };
    }),
    overlaps: apart(texts('h1, h2, p, li, dt, dd, th, td, footer').map(box)),
    spilled: texts('th, td, li, dd, h1').filter((cell) => cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.textContent.slice(0, 60)),
    faint: [...texts('svg text').filter((text) => faint(text, 'fill')),
            ...texts('h1, h2, p, li, dt, dd, th, td, footer').filter((text) => faint(text, 'color'))].map((text) => text.textContent),
    background: getComputedStyle(document.body).backgroundColor,
    wide: document.documentElement.scrollWidth > document.documentElement.clientWidth + 1,
    scripts: document.scripts.length,
    pictures: document.images.length,
    pwned: window.pwned === 1,
    headings: texts('h2').map((heading) => heading.textContent),
    text: document.body.innerText,
  };
}"""

passed, failed = 0, 0


def check(name, fine, shown=""):
    global passed, failed
    if fine:
        passed += 1
    else:
        failed += 1
        print(f"FAILED {name}: {shown}")


def time(nanos):
    days, nanos = divmod(nanos, 86_400_000_000_000)
    seconds, nanos = divmod(nanos, 1_000_000_000)
    return f"2026-03-{days + 1:02}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{nanos:09}Z"


def write_log(path, count, length, evil=False):
    """`count` operations of every kind within about `length` seconds; gives them as (op, bytes, nanos, error)."""
    dice, rows = random.Random(count), []
    with open(path, "w", encoding="utf-8", newline="\n") as log:
        log.write(HEADER + "\n")
        for number in range(count):
            op = dice.choices(["GET", "PUT", "DELETE", "LIST", "STAT"], [60, 25, 5, 4, 6])[0]
            size = dice.choice(SIZES) if op in ("GET", "PUT") else 0
            start = int(number / count * length * 1e9) + 12 * 3_600_000_000_000
            nanos = int(dice.lognormvariate(13.5, 1) + size * dice.uniform(0.2, 2))
            error = "" if dice.random() > 0.01 or count < 3 else EVIL if evil else "Timeout: no answer for 30 s"
            key = f"{EVIL}{number}" if evil else f"train/{'long-name-' * (number % 20)}{number}"
            first = time(start + nanos // 3) if op == "GET" and not error else ""
            log.write("\t".join(map(str, [
                number, number % 16, op, EVIL if evil else "host-1", 1, size, EVIL if evil else "s3://bucket", key, error,
                time(start), first, time(start + nanos), nanos,
            ])) + "\n")
            rows.append((op, size, nanos, error))
    return rows


def check_numbers(name, command, log, rows):
    done = subprocess.run([command, "oplog", "report", "--json", log], capture_output=True, text=True, timeout=120)
    check(f"{name}: --json ends well", done.returncode == 0, done.stderr)
    found = json.loads(done.stdout)
    check(f"{name}: rows", found["rows"] == len(rows), found["rows"])
    check(f"{name}: errors", found["errors"] == sum(bool(row[3]) for row in rows), found["errors"])
    for group in found["operations"]:
        times = sorted(nanos for op, _, nanos, error in rows if op == group["op"] and not error)
        check(f"{name}: count of {group['op']}", group["count"] == sum(row[0] == group["op"] for row in rows))
        for share, key in ((0.5, "p50_ns"), (0.9, "p90_ns"), (0.99, "p99_ns"), (1, "max_ns")):
            wanted = times[max(0, -(-len(times) * int(share * 100) // 100) - 1)]
            got = group["latency"][key]
            check(f"{name}: {key} of {group['op']}", abs(got - wanted) <= wanted / 64, f"{got} for {wanted}")


def look(browser, name, page_file, width, picture):
    page = browser.new_page(viewport={"width": width, "height": 900})
    requests, said = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: (said.append("dialog"), dialog.dismiss()))
    page.goto(page_file.as_uri(), wait_until="load")
    seen = page.evaluate(LOOK)
    page.screenshot(path=picture, full_page=True)
    page.close()
    check(f"{name}: requests nothing else", [url for url in requests if url not in (page_file.as_uri(), "data:,")] == [], requests)
    check(f"{name}: says nothing to the console", said == [], said)
    check(f"{name}: no script, no picture", (seen["scripts"], seen["pictures"], seen["pwned"]) == (0, 0, False))
    check(f"{name}: no text overlaps", seen["overlaps"] == [], seen["overlaps"][:5])
    check(f"{name}: no text leaves its cell", seen["spilled"] == [], seen["spilled"][:5])
    check(f"{name}: dark text on white", (seen["faint"], seen["background"]) == ([], "rgb(255, 255, 255)"), seen["faint"][:5])
    check(f"{name}: no wider than the window", not seen["wide"])
    for chart in seen["charts"]:
        what = f"{name}: {chart['what']}"
        check(f"{what}: no text overlaps", chart["overlaps"] == [], chart["overlaps"][:5])
        check(f"{what}: no text is cut off", chart["outside"] == [], chart["outside"][:5])
        check(f"{what}: no text is tiny", not chart["small"])
        check(f"{what}: curves stay inside", chart["curves"] == 0)
        check(f"{what}: ticks", chart["ticks"] >= (2 if chart["what"].startswith("times") else 4), chart["ticks"])
        units = any(unit in chart["x"][0] for unit in (", ns", ", µs", ", ms", ", s", ", min", ", h", "(ns,"))
        check(f"{what}: the x axis has a label and a unit", len(chart["x"]) == 1 and units, chart["x"])
        check(f"{what}: the y axis has a label", len(chart["y"]) >= 1 and all(chart["y"]), chart["y"])
    return seen


def main():
    command = sys.argv[1]
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="s3dlio-report-")).resolve()
    folder.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        # No sandbox of its own: tests run as root, in containers.
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"])
        for name, count, length, evil in (
            ("none", 0, 1, False), ("one", 1, 1, False), ("few", 7, 3, False), ("evil", 500, 60, True),
            ("seconds", 5_000, 40, False), ("hours", 50_000, 40_000, False),
        ):
            log, page = folder / f"{name}.tsv", folder / f"{name}.html"
            rows = write_log(log, count, length, evil)
            done = subprocess.run([command, "oplog", "report", log, "-f", page], capture_output=True, text=True, timeout=120)
            check(f"{name}: the command ends well", done.returncode == 0, done.stderr)
            if rows:
                check_numbers(name, command, log, rows)
            check(f"{name}: a small page", page.stat().st_size < 400_000, page.stat().st_size)
            for width in (1200, 420):
                seen = look(browser, f"{name} at {width}", page, width, folder / f"{name}-{width}.png")
                wanted = ["Throughput over time", "Operations over time", "Concurrency over time", "Latency over time",
                          "Latency by operation and size", "Errors", "Slowest operations", "Endpoints"]
                check(f"{name}: all is there", seen["headings"] == (wanted if rows else []) or count == 1, seen["headings"])
            if evil:
                check("evil: keys are shown as they are", "<script>window.pwned=1</script>" in seen["text"] and "\\u{202e}" in seen["text"])
        browser.close()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
