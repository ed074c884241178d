"""The data that every engine gets, and the exact answers that it is judged by.

The set is what `make bench-data` makes. Each row has two numbers as metadata, so that a filter on
equality matches a tenth or a hundredth of the rows, spread over the whole set: the row's number
modulo 10 and modulo 100. Query i asks for the rows whose number is i modulo the same.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

TOP_K = 10
FIELDS = {"tenth": 10, "hundredth": 100}


@dataclass(frozen=True)
class DataSet:
    """Rows and queries in a folder, and the exact answers in a file beside the results."""

    folder: Path
    truth_file: Path

    @cached_property
    def rows(self) -> np.ndarray:
        """The vectors as float32; a row's id is its number."""
        return np.load(self.folder / "base.f16.npy").astype(np.float32)

    @cached_property
    def queries(self) -> np.ndarray:
        """The vectors to search with, float32."""
        return np.load(self.folder / "queries.npy")

    @cached_property
    def truth(self) -> dict[str, np.ndarray]:
        """For each query the nearest rows: of all rows, and of those that a filter lets pass."""
        newest = max((self.folder / name).stat().st_mtime for name in ("base.f16.npy", "queries.npy"))
        if not self.truth_file.exists() or self.truth_file.stat().st_mtime < newest:
            np.savez(self.truth_file, **self._nearest())
        return dict(np.load(self.truth_file))

    def _nearest(self) -> dict[str, np.ndarray]:
        rows = self.rows / np.linalg.norm(self.rows, axis=1, keepdims=True)
        truth = {name: np.empty((len(self.queries), TOP_K), np.int64) for name in ("all", *FIELDS)}
        for number, query in enumerate(self.queries):
            scores = rows @ query
            truth["all"][number] = _top(scores)
            for field, modulus in FIELDS.items():
                first = number % modulus
                truth[field][number] = first + modulus * _top(scores[first::modulus])
        return truth

    def batches(self, size: int) -> list[range]:
        """The rows' numbers, in pieces."""
        return [range(at, min(at + size, len(self.rows))) for at in range(0, len(self.rows), size)]


def metadata(row: int) -> dict[str, int]:
    """The metadata of a row."""
    return {field: row % modulus for field, modulus in FIELDS.items()}


def wanted(field: str, query: int) -> int:
    """The value that a query's filter asks for."""
    return query % FIELDS[field]


def recall(found: list[list[int] | None], truth: np.ndarray) -> float:
    """The share of the exact answers that were found, over the queries that were answered."""
    answered = [(ids, nearest) for ids, nearest in zip(found, truth, strict=True) if ids is not None]
    hits = sum(len(set(ids[:TOP_K]) & set(nearest.tolist())) for ids, nearest in answered)
    return hits / (TOP_K * len(answered))


def _top(scores: np.ndarray) -> np.ndarray:
    return np.argsort(-scores, kind="stable")[:TOP_K]
