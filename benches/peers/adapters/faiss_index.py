"""FAISS, the library: indexes in memory, without ids of one's own, updates, filters or a server.

The bound of what a store can reach with such an index. A filter is a bitmap for each value, made
beforehand.
"""

from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
from dataset import FIELDS, TOP_K, DataSet, wanted
from peer import Calls, Description, Effort, Peer

THREADS = 2
LISTS = 1024
PROBES = (16, 24, 32, 48, 64, 96, 128, 192, 256, 512)


class Faiss(Peer):
    """An index made by FAISS's factory, saved to a file and read from it."""

    factory: str

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.index: faiss.Index | None = None

    def describe(self) -> Description:
        return Description(
            version=faiss.__version__,
            index=self.factory,
            clients="in process, 4 threads",
            durability="a file, written at the end",
        )

    def ingest(self, data: DataSet) -> float | None:
        rows = data.rows.copy()
        faiss.normalize_L2(rows)
        faiss.omp_set_num_threads(THREADS)
        index = faiss.index_factory(rows.shape[1], self.factory, faiss.METRIC_INNER_PRODUCT)

        def build() -> None:
            index.train(rows)
            index.add(rows)

        seconds = self.timed(build)
        faiss.write_index(index, self._path)
        return seconds

    def open(self) -> None:
        faiss.omp_set_num_threads(1)
        self.index = faiss.read_index(self._path)

    def query(self, queries: np.ndarray, effort: Effort) -> Calls:
        params = self.params(effort, None)
        return self._calls(queries, lambda _: params)

    def filtered_query(self, queries: np.ndarray, effort: Effort, field: str) -> Calls:
        numbers = np.arange(self.index.ntotal)
        masks = [np.packbits(numbers % FIELDS[field] == value, bitorder="little") for value in range(FIELDS[field])]
        params = [self.params(effort, faiss.IDSelectorBitmap(mask)) for mask in masks]
        return self._calls(queries, lambda query: params[wanted(field, query)])

    def params(self, effort: Effort, selector: faiss.IDSelector | None) -> faiss.SearchParameters:
        """An effort in FAISS's terms."""
        raise NotImplementedError

    def _calls(self, queries: np.ndarray, params: Callable[[int], faiss.SearchParameters]) -> Calls:
        index, rows = self.index, [queries[number : number + 1] for number in range(len(queries))]
        return Calls(
            search=lambda query: index.search(rows[query], TOP_K, params=params(query))[1],
            ids=lambda found: found[0].tolist(),
            count=len(rows),
        )

    def close(self) -> None:
        self.index = None

    @property
    def _path(self) -> str:
        return str(self.folder / "index")


class IvfPqFastScan(Faiss):
    """4-bit product quantisation scanned in registers, reranked with full vectors."""

    factory = f"IVF{LISTS},PQ128x4fs,RFlat"
    efforts = [
        {"nprobe": nprobe, "k_factor": factor}
        for nprobe, factor in (
            *((16, 10), (24, 10), (32, 10), (48, 10), (64, 10), (96, 10), (96, 20)),
            *((128, 20), (192, 20), (256, 20), (256, 40), (384, 40), (512, 40)),
        )
    ]
    filtered_efforts = [{"nprobe": nprobe, "k_factor": 20} for nprobe in (64, 256, LISTS)]

    def params(self, effort: Effort, selector: faiss.IDSelector | None) -> faiss.SearchParameters:
        lists = faiss.SearchParametersIVF(nprobe=effort["nprobe"], sel=selector)
        return faiss.IndexRefineSearchParameters(k_factor=effort["k_factor"], base_index_params=lists)


class IvfSq8(Faiss):
    """8-bit scalar quantisation."""

    factory = f"IVF{LISTS},SQ8"
    efforts = [{"nprobe": nprobe} for nprobe in PROBES]
    filtered_efforts = [{"nprobe": nprobe} for nprobe in (64, 256, LISTS)]

    def params(self, effort: Effort, selector: faiss.IDSelector | None) -> faiss.SearchParameters:
        return faiss.SearchParametersIVF(nprobe=effort["nprobe"], sel=selector)


class Hnsw(Faiss):
    """A graph over full vectors."""

    factory = "HNSW16,Flat"
    efforts = [{"ef": ef} for ef in (32, 48, 64, 96, 128, 192, 256, 384, 512)]
    filtered_efforts = [{"ef": ef} for ef in (128, 512)]

    def params(self, effort: Effort, selector: faiss.IDSelector | None) -> faiss.SearchParameters:
        return faiss.SearchParametersHNSW(efSearch=effort["ef"], sel=selector)
