"""Recall against queries per second, as SVG."""

from html import escape
from math import log

from frontier import frontier

WIDTH, HEIGHT = 900, 520
LEFT, RIGHT, TOP, BOTTOM = 70, 640, 20, 460
LOWEST_RECALL = 0.92
# Distinct in brightness as well as in hue.
COLOURS = ("#d62728", "#1f77b4", "#17becf", "#2ca02c", "#98df8a", "#9467bd", "#8c564b", "#c49c94", "#7f7f7f")
COLOURS += ("#bcbd22", "#ff7f0e", "#000000")


def svg(results: list[dict]) -> str:
    """One line for each engine through the points that it does best in."""
    lines = {one["name"]: [p for p in frontier(one["sweep"]) if p["recall"] >= LOWEST_RECALL] for one in results}
    rates = [point["per_second"] for points in lines.values() for point in points] or [1.0]
    decades = _decades(min(rates), max(rates))
    scale = _Scale(decades[0], decades[-1])
    parts = _axes(scale, decades)
    for number, (name, points) in enumerate(lines.items()):
        parts += _line(scale, COLOURS[number % len(COLOURS)], name, points, TOP + 20 + 22 * number)
    return "\n".join([_HEAD, *parts, "</svg>", ""])


class _Scale:
    """From figures to places."""

    def __init__(self, lowest: int, highest: int) -> None:
        self.lowest, self.highest = lowest, highest

    def x(self, recall: float) -> float:
        return LEFT + (recall - LOWEST_RECALL) / (1 - LOWEST_RECALL) * (RIGHT - LEFT)

    def y(self, rate: float) -> float:
        share = log(rate / self.lowest) / log(self.highest / self.lowest)
        return BOTTOM - share * (BOTTOM - TOP)


_HEAD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">'
    f'\n<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
)


def _decades(lowest: float, highest: float) -> list[int]:
    """Marks 1, 2 and 5 of each decade, from one below the lowest to one above the highest."""
    marks = [mark * 10**power for power in range(7) for mark in (1, 2, 5)]
    first = max(number for number, mark in enumerate(marks) if mark <= lowest)
    last = min(number for number, mark in enumerate(marks) if mark >= highest)
    return marks[first : max(last, first + 1) + 1]


def _axes(scale: _Scale, marks: list[int]) -> list[str]:
    parts = []
    for mark in marks:
        y = scale.y(mark)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{mark:,}</text>')
    for hundredth in range(round(LOWEST_RECALL * 100), 101):
        x = scale.x(hundredth / 100)
        parts.append(f'<path d="M{x:.1f} {TOP}V{BOTTOM}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{BOTTOM + 20}" text-anchor="middle">{hundredth / 100:.2f}</text>')
    middle = (LEFT + RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{BOTTOM + 44}" text-anchor="middle">recall@10</text>')
    parts.append(
        f'<text x="16" y="{(TOP + BOTTOM) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 16 {(TOP + BOTTOM) / 2})">queries per second, 4 clients</text>'
    )
    return parts


def _line(scale: _Scale, colour: str, name: str, points: list[dict], legend: int) -> list[str]:
    places = [(scale.x(point["recall"]), scale.y(point["per_second"])) for point in points]
    width = 3.5 if name.startswith("quiver") else 1.8
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    parts = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'] if places else []
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{width}" fill="{colour}"/>' for x, y in places]
    parts.append(f'<path d="M{RIGHT + 20} {legend}h24" stroke="{colour}" stroke-width="{width}"/>')
    parts.append(f'<text x="{RIGHT + 52}" y="{legend + 4}">{escape(name)}</text>')
    return parts
