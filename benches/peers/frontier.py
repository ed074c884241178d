"""From measured points to rates at equal recall."""

import math
from bisect import bisect_left


def frontier(points: list[dict]) -> list[dict]:
    """The points that no other one beats in both recall and rate, by growing recall."""
    best, kept = 0.0, []
    for point in sorted(points, key=lambda point: (-point["recall"], -point["per_second"])):
        if point["per_second"] > best:
            best = point["per_second"]
            kept.append(point)
    return kept[::-1]


def rate_at(points: list[dict], recall: float, figure: str = "per_second") -> float | None:
    """A figure at a recall, on a straight line in the logarithm between its neighbours.

    Below the lowest recall on the frontier it is that point's, which is more recall than asked for;
    above the highest there is none.
    """
    best = frontier(points)
    at = bisect_left([point["recall"] for point in best], recall)
    if at == len(best):
        return None
    if at == 0:
        return best[0][figure]
    low, high = best[at - 1], best[at]
    share = (recall - low["recall"]) / (high["recall"] - low["recall"])
    return math.exp((1 - share) * math.log(low[figure]) + share * math.log(high[figure]))


def enough(points: list[dict], recall: float) -> dict | None:
    """The fastest point of at least this recall; else that of the highest recall."""
    good = [point for point in points if point["recall"] >= recall]
    if good:
        return max(good, key=lambda point: point["per_second"])
    return max(points, key=lambda point: point["recall"], default=None)
