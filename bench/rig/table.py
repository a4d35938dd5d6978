# SPDX-License-Identifier: Apache-2.0
"""Figures to lines: JSON objects, the table on a terminal, the table in README.md. All three say the same."""
import json
import statistics


def significant(value):
    """Three digits, as much as such figures mean."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


# What of the run that gave the median goes along with it.
DETAILS = ("rate", "p50_ms", "p99_ms", "client_cpu_s", "cpu_ms_by", "drained_rate", "ok", "empty_kib", "flushes_in_all", "users", "visible_p50_ms",
           "decide_cpu_rate", "sync_cpu_rate", "busy_pct")


def side_of(values, results):
    """Median and spread of the repeats of one row on one side; details from the repeat of the median."""
    if not values:
        return None
    middle = statistics.median_low(values)
    details = results[values.index(middle)]
    kept = {key: round(value, 4) if isinstance(value, float) else value for key, value in details.items()
            if key in DETAILS}
    return {"value": round(middle, 4), "min": round(min(values), 4), "max": round(max(values), 4), "repeats": len(values), **kept}


def row_of(row, found):
    """found: name of side to (values, results, other_pct)."""
    sides = {name: side_of(values, results) for name, (values, results, _) in found.items()}
    ours, peers = sides.get("ours"), sides.get("peers")
    ratio = None
    if ours and peers and ours["value"] > 0 and peers["value"] > 0:
        ratio = ours["value"] / peers["value"] if row.more_is_better else peers["value"] / ours["value"]
    noise = [pct for _, _, pcts in found.values() for pct in pcts]
    return {"row": row.name, "about": row.about, "unit": row.unit, "peers": peers, "ours": ours, "ratio": round(ratio, 2) if ratio else None,
            "other_pct": round(max(noise), 1) if noise else None, "design": row.design or None, "more_is_better": row.more_is_better}


HEAD = ("row", "what", "unit", "peers", "spread", "ours", "spread", "ratio", "design", "other %")


def cells(row):
    def figure(side):
        return significant(side["value"]) if side else "-"

    def spread(side):
        return f"{significant(side['min'])}–{significant(side['max'])}" if side and side["repeats"] > 1 else "-"
    peers, ours = row["peers"], row["ours"]
    ratio = f"{row['ratio']:.3g}" if row["ratio"] else "-"
    other = "-" if row["other_pct"] is None else f"{row['other_pct']:.0f}"
    return (row["row"], row["about"], row["unit"], figure(peers), spread(peers), figure(ours), spread(ours), ratio, significant(row["design"]), other)


def text(rows):
    lines = [HEAD] + [cells(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) if i < 3 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths)))
                     for line in lines)


def markdown(rows):
    return "\n".join(["| " + " | ".join(HEAD) + " |", "|" + "|".join("---" if i < 3 else "--:" for i in range(len(HEAD))) + "|"]
                     + ["| " + " | ".join(cells(row)) + " |" for row in rows])


def story(summary):
    """When, where, how much, of what."""
    versions = "; ".join(f"{name}: {version}" for name, version in summary["versions"].items())
    size = f"{summary['repeats']} repeats, {summary['users']:,} users" + ("" if summary["scale"] == 1 else f", {summary['scale']:g} of the work")
    failed = f" Failed: {', '.join(summary['failed'])}." if summary["failed"] else ""
    limits = "; ".join(f"{name}: {rate:,}/s" for name, rate in summary["limits"].items())
    return f"{summary['date']}, {summary['machine']}; {size}, {summary['seconds']:.0f} s. {versions}.{failed}" + (
        f"\n\nThe machine's own limits: {limits}." if limits else "")


def by_component(rows):
    """Where the time goes: CPU by process, for rows that count it."""
    def parts(side):
        return ", ".join(f"{name} {significant(ms)}" for name, ms in sorted(side["cpu_ms_by"].items(), key=lambda item: -item[1]))
    lines = ["| row | peers, ms CPU by process | ours | ours: p50, p99 ms |", "|---|---|---|--:|"]
    for row in rows:
        sides = [row["peers"], row["ours"]]
        if all(side and "cpu_ms_by" in side for side in sides):
            lines.append(f"| {row['row']} | {parts(sides[0])} | {parts(sides[1])} | {significant(sides[1]['p50_ms'])}, "
                         f"{significant(sides[1]['p99_ms'])} |")
    return "\n".join(lines)


def read(path):
    """Rows and summary of a file that bench/run --json wrote."""
    with open(path, encoding="utf-8") as stream:
        objects = [json.loads(line) for line in stream if line.strip()]
    if not objects or not objects[-1].get("summary"):
        raise ValueError(f"{path} has no summary line: the run did not end")
    return objects[:-1], objects[-1]
