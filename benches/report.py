"""What a run measured, as text, Markdown, JSON and a plot."""

import json
import os
import platform
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from html import escape
from statistics import median

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
METRICS = {"cpu": "CPU", "rate": "throughput", "wall": "wall time", "rss": "peak RSS", "extra": "more memory than before"}


def first_line(*command):
    try:
        out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return out.strip().splitlines()[0]


def machine(root, quick, rounds):
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    commit = first_line("git", "-C", str(root), "describe", "--always", "--dirty") or "unknown"
    versions = [
        f"libs3dlio at {commit}", first_line("rustc", "--version"), f'cc {first_line(os.environ.get("CC", "cc"), "-dumpfullversion")}',
        first_line(shutil.which("nginx") or "/usr/sbin/nginx", "-v"), first_line("curl", "--version"),
        f"Python {platform.python_version()}",
    ]
    return [
        f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, {'quick run, ' if quick else ''}{rounds} interleaved rounds, load {os.getloadavg()[0]:.1f} before",
        f"{cpu}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, Linux {platform.release()}; servers and clients share the cores",
        "; ".join(version.split(" (")[0] for version in versions if version),
    ]


# ---- figures

def figure(row, metric):
    """CPU and throughput per byte, so that clients of other amounts compare."""
    if metric == "cpu":
        return row["cpu"] / row["bytes"]
    if metric == "rate":
        return row["bytes"] / row["wall"]
    return row[metric]


def spread(values, scale=1.0, digits=3):
    values = [value * scale for value in values]
    text = f"{median(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f}-{max(values):.{digits}f})"


COLUMNS = ["case", "client", "wall s", "objects/s", "GiB/s", "CPU us/object", "CPU s/GiB", "peak RSS MiB", "extra MiB"]


def table(cases, results):
    for name, case in cases.items():
        for client, rows in results[name].items():
            if not rows:
                yield [name, client, "FAILED", *[""] * 6]
                continue
            column = lambda value: [value(row) for row in rows]  # noqa: E731
            rss = spread(column(lambda r: r["rss"]), 1 / MIB, 1) if "rss" in rows[0] else ""
            extra = spread(column(lambda r: r["extra"]), 1 / MIB, 1) if "extra" in rows[0] else ""
            if not rows[0]["bytes"]:
                yield [name, client, "", "", "", "", "", rss, extra]
            elif case.small:
                yield [name, client, spread(column(lambda r: r["wall"])), spread(column(lambda r: r["objects"] / r["wall"]), 1, 0), "",
                       spread(column(lambda r: r["cpu"] / r["objects"]), 1e6, 1), "", rss, extra]
            else:
                yield [name, client, spread(column(lambda r: r["wall"])), "", spread(column(lambda r: r["bytes"] / r["wall"]), 1 / GIB, 2),
                       "", spread(column(lambda r: r["cpu"] / r["bytes"]), GIB, 3), rss, extra]


GOAL_COLUMNS = ["case", "goal", "measured", "holds"]


def fraction(bound):
    return f"1/{1 / bound:.3g}" if bound < 0.5 else f"{bound:.3g}"


def goals(cases, results):
    """One row per goal: the median over the rounds of what is promised."""
    for name, case in cases.items():
        for goal in case.goals:
            limit = "at least" if goal.at_least else "at most"
            other_case, _, other = (goal.of or "").rpartition("/")
            if goal.of is None:
                what = f"{METRICS[goal.metric]} {limit} {goal.bound / MIB:.0f} MiB"
            elif goal.of == "ideal":
                what = f"{METRICS[goal.metric]} {limit} {fraction(goal.bound)} of the ideal"
            else:
                what = f"{METRICS[goal.metric]} {limit} {fraction(goal.bound)} of {goal.of}'s"
            if goal.less:
                what += f" and {goal.less}"
            if goal.client != "ours":
                what = f"{goal.client}: {what}"
            ours = [figure(row, goal.metric) for row in results[name][goal.client]]
            if goal.less:
                ours = [mine - figure(row, goal.metric) for mine, row in zip(ours, results[name][goal.less])]
            if goal.of is None:
                values, shown = ours, [value / MIB for value in ours]
            elif goal.of == "ideal":
                values = shown = [value / case.ideal for value in ours]
            else:
                others = results.get(other_case or name, {}).get(other)
                if others is None:
                    yield [name, what, "needs the other case", "-"]
                    continue
                values = shown = [mine / figure(row, goal.metric) for mine, row in zip(ours, others)]
            if not values:
                yield [name, what, "FAILED", "no"]
                continue
            holds = median(values) >= goal.bound if goal.at_least else median(values) <= goal.bound
            yield [name, what, spread(shown, 1, 1 if goal.of is None else 3), "yes" if holds else "no"]


# ---- forms

def aligned(columns, rows):
    rows = [columns, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def markdown(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)


def write(folder, machine_lines, cases, results, failures):
    rows, goal_rows = list(table(cases, results)), list(goals(cases, results))
    machine_lines = [*machine_lines, f"Medians over the rounds (least-most); CPU is the client's. Load {os.getloadavg()[0]:.1f} after."]
    whats = [f"{name}: {case.what}" for name, case in cases.items()]
    failed = [f"FAILED {failure}" for failure in failures]
    text = "\n".join([*machine_lines, "", *whats, "", aligned(COLUMNS, rows), "", aligned(GOAL_COLUMNS, goal_rows), *failed, ""])
    sys.stdout.write(text)
    (folder / "table.txt").write_text(text)
    (folder / "table.md").write_text("\n\n".join([
        "\n".join(machine_lines), "\n".join(f"- {what}" for what in whats), markdown(COLUMNS, rows),
        markdown(GOAL_COLUMNS, goal_rows), *failed]) + "\n")
    (folder / "plot.svg").write_text(plot(machine_lines, cases, results))
    (folder / "figures.json").write_text(json.dumps({"machine": machine_lines, "results": results, "failures": failures}, indent=1) + "\n")
    print(f"\nwritten to {folder}: table.txt, table.md, plot.svg, figures.json")


# ---- the plot: one group of bars per case, CPU and throughput side by side

BAR, GAP, LEFT, WIDTH = 14, 12, 190, 330
COLOURS = {"ours": "#2166ac", "limit": "#999999", "sdk": "#ef8a62"}
OTHER = "#c9b3d8"


def short(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def plot(machine_lines, cases, results):
    parts, y = [], 20 + 14 * len(machine_lines)
    for i, line in enumerate(machine_lines):
        parts.append(f'<text x="8" y="{16 + 14 * i}" fill="#555">{escape(line)}</text>')
    for name, case in cases.items():
        rows = {client: measured for client, measured in results[name].items() if measured and measured[0]["bytes"] and client != "crc"}
        if len(rows) < 2:
            continue  # nothing to compare
        y += GAP + 14
        per, unit = ("objects", "us/object") if case.small else ("bytes", "s/GiB")
        scale, rate_scale, rate_unit = (1e6, 1, "objects/s") if case.small else (GIB, 1 / GIB, "GiB/s")
        columns = [
            (LEFT, f"CPU {unit}", {c: [r["cpu"] / r[per] * scale for r in m] for c, m in rows.items()}),
            (LEFT + WIDTH + 110, rate_unit, {c: [r[per] / r["wall"] * rate_scale for r in m] for c, m in rows.items()}),
        ]
        parts.append(f'<text x="8" y="{y}" font-weight="bold">{escape(name)}</text>')
        for x, title, _ in columns:
            parts.append(f'<text x="{x}" y="{y}" fill="#555">{title}</text>')
        for client in rows:
            y += BAR + 2
            parts.append(f'<text x="{LEFT - 8}" y="{y}" text-anchor="end">{escape(client)}</text>')
            for x, _, values in columns:
                most = max(max(v) for v in values.values())
                at = lambda value: x + WIDTH * value / most  # noqa: E731
                mid, low, high = median(values[client]), min(values[client]), max(values[client])
                parts.append(f'<rect x="{x}" y="{y - BAR + 3}" width="{at(mid) - x:.1f}" height="{BAR}" fill="{COLOURS.get(client, OTHER)}"/>')
                parts.append(f'<line x1="{at(low):.1f}" x2="{at(high):.1f}" y1="{y - 4}" y2="{y - 4}" stroke="#000"/>')
                parts.append(f'<text x="{at(high) + 4:.1f}" y="{y}">{short(mid)}</text>')
    size = f'width="{LEFT + 2 * WIDTH + 200}" height="{y + 16}"'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">\n'
            f'<rect {size} fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n")
