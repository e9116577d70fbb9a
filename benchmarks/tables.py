"""Tables in Markdown from the record of a race."""

from __future__ import annotations

from statistics import median
from typing import Any

__all__ = ["render"]

Row = dict[str, Any]


def render(record: dict[str, Any]) -> str:
    """Return the tables of a record, with its environment above them.

    Parameters
    ----------
    record : dict
        "environment", "versions", "rounds", and "races": for each race its "title", whether it is
        "inference", the number of "images" of a round, and its "rows".
    """
    environment = record["environment"]
    versions = {"nndl": environment["nndl"], "NumPy": environment["numpy"]} | record["versions"]
    lines = [
        f"{environment['cpu']}, {environment['cores']} cores, {environment['system']}, Python "
        f"{environment['python']}, {', '.join(environment['blas'])}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        + f". n = {record['rounds']} rounds, contestants interleaved; medians of times and of the "
        "ratios within a round.",
    ]
    if process := record.get("process"):
        lines += [
            "",
            f"`{process['command']}`, the whole process: {process['seconds']:.1f} s, "
            f"{process['peak_memory_bytes'] / 1e6:.0f} MB at its peak.",
        ]
    for race in record["races"].values():
        lines += ["", _table(race)]
    return "\n".join(lines)


def _table(race: dict[str, Any]) -> str:
    unit, scale = (
        ("s an epoch", 1.0) if race["images"] >= 50_000 else ("µs per image", 1e6 / race["images"])
    )
    learned = "" if race["inference"] else " accuracy after a round |"
    lines = [
        f"| {race['title']} | threads | {unit} | time / nndl's |{learned}",
        "|---|---|---|---|" + ("---|" if learned else ""),
    ]
    for row in race["rows"]:
        value, base = scale * median(row["seconds"]), _base(race["rows"], row["threads"])
        ratios = [t / b for t, b in zip(row["seconds"], base, strict=True)] if base else []
        cells = [
            row["name"],
            str(row["threads"]),
            f"{float(f'{value:.3g}'):,g}",
            f"{median(ratios):.2f}" if ratios else "",
        ]
        if learned:
            known = row["accuracy"] is not None
            cells.append(f"{100 * row['accuracy']:.1f} %" if known else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _base(rows: list[Row], threads: int) -> list[float]:
    """Return the times of nndl on the same number of threads, or else on the smallest."""
    times: dict[int, list[float]] = {
        row["threads"]: row["seconds"] for row in rows if row["name"] == "nndl"
    }
    return times.get(threads) or (times[min(times)] if times else [])
