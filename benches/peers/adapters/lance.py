"""LanceDB in this process, with its two common indexes."""

import os
from importlib.metadata import version

# Else it logs a deprecation for every query. Read when the package is loaded.
os.environ.setdefault("LANCE_LOG", "error")

import lancedb
import numpy as np
import pyarrow as pa
from dataset import FIELDS, TOP_K, DataSet, wanted
from lancedb import index as indexes
from peer import Calls, Description, Effort, Peer

TABLE = "bench"


class Lance(Peer):
    """A table in the Lance format; the vector index is up to the subclass."""

    index: str
    config: object

    def describe(self) -> Description:
        return Description(
            version=version("lancedb"),
            index=f"{self.index}; bitmap indexes of the metadata",
            clients="in process, 4 threads",
            durability="files",
        )

    def ingest(self, data: DataSet) -> float | None:
        numbers = np.arange(len(data.rows))
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(data.rows.ravel()), data.rows.shape[1])
        columns = {field: numbers % modulus for field, modulus in FIELDS.items()}
        rows = pa.table({"id": numbers, **columns, "vector": vectors})
        self.table = lancedb.connect(self.folder / "db").create_table(TABLE, rows)
        return self.timed(self._build)

    def _build(self) -> None:
        self.table.create_index("vector", config=self.config)
        for field in FIELDS:
            self.table.create_index(field, config=indexes.Bitmap())

    def open(self) -> None:
        self.table = lancedb.connect(self.folder / "db").open_table(TABLE)

    def query(self, queries: np.ndarray, effort: Effort) -> Calls:
        return self._calls(queries, effort, None)

    def filtered_query(self, queries: np.ndarray, effort: Effort, field: str) -> Calls:
        return self._calls(queries, effort, field)

    def _calls(self, queries: np.ndarray, effort: Effort, field: str | None) -> Calls:
        def search(query: int) -> pa.Table:
            builder = self.table.search(queries[query], vector_column_name="vector").distance_type("cosine")
            builder = builder.select(["id", "_distance"]).limit(TOP_K).nprobes(effort["nprobes"])
            builder = builder.refine_factor(effort["refine_factor"])
            if "ef" in effort:
                builder = builder.ef(effort["ef"])
            if field is not None:
                builder = builder.where(f"{field} = {wanted(field, query)}", prefilter=True)
            return builder.to_arrow()

        return Calls(search=search, ids=lambda answer: answer["id"].to_pylist(), count=len(queries))

    def close(self) -> None:
        self.table = None


class IvfPq(Lance):
    """Product quantisation in lists, reranked with full vectors; its default index."""

    index = "IVF_PQ, defaults, with refining"
    config = indexes.IvfPq(distance_type="cosine")
    efforts = [
        {"nprobes": nprobes, "refine_factor": factor}
        for nprobes, factor in ((5, 5), (10, 10), (20, 10), (20, 30), (50, 30), (100, 50), (200, 100))
    ]
    filtered_efforts = efforts[2::2]


class IvfHnswSq(Lance):
    """A graph over int8 codes in each list, reranked with full vectors."""

    index = "IVF_HNSW_SQ, defaults, with refining"
    config = indexes.HnswSq(distance_type="cosine")
    efforts = [
        {"nprobes": 20, "refine_factor": factor, "ef": ef}
        for ef, factor in ((20, 1), (40, 2), (80, 2), (150, 3), (300, 5), (600, 10))
    ]
    filtered_efforts = efforts[2::2]
