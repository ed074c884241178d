"""zvec in this process, with full vectors or with int8 codes."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import zvec
from dataset import FIELDS, TOP_K, DataSet, metadata, wanted
from peer import Calls, Description, Effort, Peer

BATCH = 1000
M, EF_CONSTRUCTION = 16, 200


class Zvec(Peer):
    """HNSW with the settings of the examples in its documentation."""

    filtered_efforts = [{"ef": ef} for ef in (64, 128, 300)]

    def __init__(self, folder: Path, int8: bool) -> None:
        super().__init__(folder)
        self.int8 = int8
        self.efforts = [{"ef": ef} for ef in (20, 32, 48, 64, 96, 128, 192, 256, 384, 512)]
        self.collection: zvec.Collection | None = None

    def describe(self) -> Description:
        codes = ", int8 codes with reranking" if self.int8 else ""
        return Description(
            version=version("zvec"),
            index=f"HNSW m {M}, ef_construction {EF_CONSTRUCTION}{codes}; inverted indexes of the metadata",
            clients="in process, 4 threads",
            durability="log and files",
        )

    def ingest(self, data: DataSet) -> float | None:
        vectors = zvec.HnswIndexParam(
            metric_type=zvec.MetricType.COSINE,
            m=M,
            ef_construction=EF_CONSTRUCTION,
            quantize_type=zvec.QuantizeType.INT8 if self.int8 else zvec.QuantizeType.UNDEFINED,
            use_contiguous_memory=True,
        )
        schema = zvec.CollectionSchema(
            name="bench",
            fields=[
                zvec.FieldSchema(field, zvec.DataType.INT64, index_param=zvec.InvertIndexParam()) for field in FIELDS
            ],
            vectors=zvec.VectorSchema("vector", zvec.DataType.VECTOR_FP32, data.rows.shape[1], index_param=vectors),
        )
        collection = zvec.create_and_open(self._path, schema)
        for batch in data.batches(BATCH):
            docs = [zvec.Doc(id=str(row), vectors={"vector": data.rows[row]}, fields=metadata(row)) for row in batch]
            if not all(status.ok() for status in collection.insert(docs)):
                raise RuntimeError("zvec did not take a row")
        seconds = self.timed(collection.optimize)
        collection.flush()
        collection.close()
        return seconds

    def open(self) -> None:
        self.collection = zvec.open(self._path)

    def query(self, queries: np.ndarray, effort: Effort) -> Calls:
        return self._calls(queries, effort, [None] * len(queries))

    def filtered_query(self, queries: np.ndarray, effort: Effort, field: str) -> Calls:
        return self._calls(queries, effort, [f"{field} = {wanted(field, query)}" for query in range(len(queries))])

    def _calls(self, queries: np.ndarray, effort: Effort, conditions: list[str | None]) -> Calls:
        param = zvec.HnswQueryParam(ef=effort["ef"], is_using_refiner=self.int8)
        prepared = [zvec.Query("vector", vector=vector, param=param) for vector in queries]
        collection = self.collection
        return Calls(
            search=lambda query: collection.query(
                prepared[query], topk=TOP_K, filter=conditions[query], output_fields=[]
            ),
            ids=lambda docs: [int(doc.id) for doc in docs],
            count=len(prepared),
        )

    def close(self) -> None:
        self.collection.close()

    @property
    def _path(self) -> str:
        return str(self.folder / "collection")
