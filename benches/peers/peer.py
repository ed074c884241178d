"""What an engine has to offer to be measured, and the two ways of asking it."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dataset import DataSet

Effort = dict[str, Any]


@dataclass(frozen=True)
class Calls:
    """Queries to an engine in this process: `search(i)` asks query i, `ids` reads its answer."""

    search: Callable[[int], Any]
    ids: Callable[[Any], list[int]]
    count: int


@dataclass(frozen=True)
class Bodies:
    """Queries to a server: JSON bodies to post, and how to read the answers."""

    address: str
    path: str
    bodies: list[bytes]
    ids: Callable[[dict], list[int]]


Workload = Calls | Bodies


@dataclass(frozen=True)
class Description:
    """What has to stand beside an engine's figures."""

    version: str
    index: str
    clients: str
    durability: str


class Peer(ABC):
    """An engine with its data in a folder. One process calls `ingest`, later ones `open`."""

    # From fast to exact. Filtered queries are asked with fewer of them.
    efforts: list[Effort]
    filtered_efforts: list[Effort]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def describe(self) -> Description:
        """Its version, settings and promises."""

    @abstractmethod
    def ingest(self, data: DataSet) -> float | None:
        """Stores and indexes all rows with their metadata, as durable as it will get; closes.

        Returns the seconds that went into the index alone, where that is a step of its own.
        """

    @abstractmethod
    def open(self) -> None:
        """Opens what `ingest` left."""

    @abstractmethod
    def query(self, queries: np.ndarray, effort: Effort) -> Workload:
        """The nearest ten rows of all."""

    @abstractmethod
    def filtered_query(self, queries: np.ndarray, effort: Effort, field: str) -> Workload | None:
        """The nearest ten of the rows with the wanted value in the field; None if it cannot filter."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of the data."""

    @staticmethod
    def timed(step: Callable[[], object]) -> float:
        """The seconds that a step takes."""
        begun = time.perf_counter()
        step()
        return time.perf_counter() - begun

    def process_id(self) -> int | None:
        """The server's process; None if the engine runs in this one."""
        return None
