"""The results as tables and a plot: docs/benchmarks-peers.md and docs/recall-qps.svg, or such with a suffix."""

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

import plot
from frontier import enough, rate_at

RECALLS = (0.95, 0.98, 0.99)
FILTERED_RECALL = 0.99
# Those that the others are compared with; whatever begins with "quiver" is no peer.
OURS = {"quiver": "over HTTP", "quiver-in-process": "in process"}
NONE = "–"
# A load average above this is somebody else at work.
QUIET = 1.0
BUSY = "\n\n**The machine was busy with other work: these figures are rough and understate all engines.**"
PAGE = """# Beside other engines

Written by `make bench-peers{option}`; do not edit. {rows:,} {kind} × {dimension}, cosine, the ten nearest \
rows, {cores} cores of {cpu}, {first} to {last}. Engines ran one at a time, each in a process of its own, with \
the same rows, queries and exact answers; what each promises and how it was asked stands in the last table. \
The load of the machine by others (`load`) belongs beside every figure.{warning}

![Recall against queries per second](recall-qps{suffix}.svg)

## Queries per second at equal recall

Four clients, each with its next query when it has an answer. Between the efforts measured, rates are \
interpolated.

{speed}

## Filters on equality

The fastest effort that finds {filtered_recall} of the exact answers; else the one that finds most.

{filtered}

## Ingest, memory, restart

Ingest is from the rows in a client's memory until they are stored and indexed, as durable as the engine makes \
them. Restart is from opening what is stored, with files in the page cache, to the first answer; for a server \
that includes its process. Memory is that of the server, or what the process grew by.

{life}

## Where a peer is better than Quiver over HTTP

{better}

## Versions, settings, durability

{settings}

`syncs` are the calls during ingest that wait until data is on the disk (fsync, fdatasync, syncfs, msync), counted. \
`load` is the machine's load average just before; {cores} is a full machine. `cores` is how many the client \
and engine kept busy at recall {load_recall}: of an engine in process both together, of a server the client alone.
"""


def write(results: Path, docs: Path, suffix: str) -> None:
    """Writes the page and the plot from every result that there is. Of an enlarged set, the suffix has its rows."""
    found = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    found.sort(key=lambda one: not _is_ours(one))
    if not found:
        return
    ours = {one["name"]: one for one in found if one["name"] in OURS}
    page = PAGE.format(
        suffix=suffix,
        option=f" ROWS={suffix[1:]}" if suffix else "",
        kind="embeddings, real ones and real ones moved (benches/peers/enlarge.py)," if suffix else "real embeddings",
        rows=found[0]["rows"],
        dimension=found[0]["dimension"],
        cores=os.cpu_count(),
        cpu=_cpu(),
        first=min(one["begun"] for one in found),
        last=max(one["begun"] for one in found),
        speed=_speed(found, ours),
        warning=BUSY if any(one["load_before"] > QUIET for one in found) else "",
        filtered_recall=FILTERED_RECALL,
        filtered=_filtered(found, ours),
        life=_life(found, ours.get("quiver")),
        better=_better(found, ours.get("quiver")),
        settings=_settings(found),
        load_recall=RECALLS[1],
    )
    (docs / f"benchmarks-peers{suffix}.md").write_text(page)
    (docs / f"recall-qps{suffix}.svg").write_text(plot.svg(found))


def _is_ours(one: dict) -> bool:
    return one["name"].startswith("quiver")


def _speed(found: list[dict], ours: dict[str, dict]) -> str:
    head = ["engine", *(f"@ {recall}" for recall in RECALLS), "p50 / p99 ms @ 0.98"]
    head += [f"Quiver {OURS[name]} ÷ engine, @ {' / '.join(map(str, RECALLS))}" for name in ours]
    lines = []
    for one in found:
        rates = [rate_at(one["sweep"], recall) for recall in RECALLS]
        times = [rate_at(one["sweep"], RECALLS[1], figure) for figure in ("p50_ms", "p99_ms")]
        shares = [
            " / ".join(_ratio(rate_at(of["sweep"], recall), rate) for recall, rate in zip(RECALLS, rates, strict=True))
            for of in ours.values()
        ]
        lines.append([one["name"], *map(_count, rates), " / ".join(map(_millis, times)), *shares])
    return _table(head, lines)


def _filtered(found: list[dict], ours: dict[str, dict]) -> str:
    fields = {"hundredth": "1 %", "tenth": "10 %"}
    head = ["engine"]
    for share in fields.values():
        head += [f"{share}: queries/s", "recall", *(f"Quiver {OURS[name]} ÷ engine" for name in ours)]
    lines = []
    for one in found:
        line = [one["name"]]
        for field in fields:
            point = enough(one["filtered"].get(field, []), FILTERED_RECALL)
            rate = point and point["per_second"]
            line += [_count(rate), f"{point['recall']:.3f}" if point else NONE]
            line += [_ratio(_filtered_rate(of, field), rate) for of in ours.values()]
        lines.append(line)
    return _table(head, lines)


def _life(found: list[dict], ours: dict | None) -> str:
    head = ["engine", "ingest s", "× Quiver's", "of that the index s", "on disk MB", "memory MB", "restart ms"]
    head += ["p99 / p50 at half load"]
    lines = []
    for one in found:
        half = one.get("half_load")
        lines.append(
            [
                one["name"],
                _decimal(one.get("ingest_seconds")),
                _ratio(one.get("ingest_seconds"), ours and ours.get("ingest_seconds")),
                _decimal(one.get("index_seconds")),
                _count(one.get("disk_mb")),
                _count(one.get("memory_mb")),
                _count(1e3 * one["restart_seconds"] if "restart_seconds" in one else None),
                _ratio(half["p99_ms"], half["p50_ms"]) if half else NONE,
            ]
        )
    return _table(head, lines)


def _better(found: list[dict], ours: dict | None) -> str:
    """Every figure of the tables in which a peer beats Quiver's server, with by how much."""
    if ours is None:
        return "Quiver was not measured."
    lines = []
    for one in found:
        if _is_ours(one):
            continue
        figures = [(what, figure(one), figure(ours)) for what, figure in FIGURES.items()]
        better = [f"{what} ({_factor(theirs, mine)})" for what, theirs, mine in figures if _beats(theirs, mine)]
        lines.append(f"- **{one['name']}**: {', '.join(better) or 'nothing that was measured'}")
    return "\n".join(lines)


def _filtered_rate(one: dict, field: str) -> float | None:
    """Only of engines that find enough: a wrong answer is not a fast one."""
    point = enough(one["filtered"].get(field, []), FILTERED_RECALL)
    return point["per_second"] if point and point["recall"] >= FILTERED_RECALL else None


def _inverse(figure: str) -> Callable[[dict], float | None]:
    """Of what is better when it is less."""
    return lambda one: 1 / one[figure] if one.get(figure) else None


# What there is to be better in; more is better.
FIGURES: dict[str, Callable[[dict], float | None]] = {
    **{f"queries/s @ {recall}": lambda one, at=recall: rate_at(one["sweep"], at) for recall in RECALLS},
    "filter of 1 %": lambda one: _filtered_rate(one, "hundredth"),
    "filter of 10 %": lambda one: _filtered_rate(one, "tenth"),
    "ingest": _inverse("ingest_seconds"),
    "disk": _inverse("disk_mb"),
    "memory": _inverse("memory_mb"),
    "restart": _inverse("restart_seconds"),
}


def _beats(theirs: float | None, mine: float | None) -> bool:
    """By more than noise."""
    return theirs is not None and (mine is None or theirs > 1.05 * mine)


def _factor(theirs: float, mine: float | None) -> str:
    return "Quiver cannot" if mine is None else f"{theirs / mine:.1f}×"


def _settings(found: list[dict]) -> str:
    head = ["engine", "version", "index", "asked", "what is stored", "syncs", "cores", "load"]
    lines = []
    for one in found:
        point = enough(one["sweep"], RECALLS[1])
        cores = point.get("cores", point.get("client_cores"))
        described = [one[key] for key in ("name", "version", "index", "clients", "durability")]
        lines.append([*described, _count(one.get("syncs")), _decimal(cores), _decimal(one.get("load_before"))])
    return _table(head, lines)


def _table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _decimal(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f}"


def _millis(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def _ratio(value: float | None, by: float | None) -> str:
    return NONE if value is None or not by else f"{value / by:.2f}"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
