"""More rows than the real set has: these first, then real ones moved in directions in which real ones differ.

A moved row is a real row plus MOVED times the difference of two others, so all have neighbours as
real rows have (cosine .74 to where it was), and none is there twice. Queries stay the real ones.
"""

from pathlib import Path

import numpy as np

MOVED = 0.7
# Rows that are made at once.
PIECE = 65_536


def enlarge(real: Path, target: Path, count: int) -> None:
    """Writes a set of so many rows into a folder, unless it is there."""
    if (target / "queries.npy").exists():
        return
    target.mkdir(parents=True, exist_ok=True)
    base = np.load(real / "base.f16.npy")
    chance = np.random.default_rng(1)
    rows = np.lib.format.open_memmap(target / "base.f16.npy", "w+", np.float16, (count, base.shape[1]))
    kept = min(count, len(base))
    rows[:kept] = base[:kept]
    for start in range(kept, count, PIECE):
        size = min(PIECE, count - start)
        first, second = chance.integers(len(base), size=(2, size))
        # Never the second one itself, which would not move the row.
        third = (second + chance.integers(1, len(base), size=size)) % len(base)
        row, one, other = (base[numbers].astype(np.float32) for numbers in (first, second, third))
        rows[start : start + len(row)] = row + MOVED * (one - other)
    rows.flush()
    # Last, since it says that the rows are whole.
    np.save(target / "queries.npy", np.load(real / "queries.npy"))
