"""Qdrant's engine in this process (qdrant-edge-py), with full vectors or with int8 codes."""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import qdrant_edge as edge
from dataset import FIELDS, TOP_K, DataSet, metadata, wanted
from peer import Calls, Description, Effort, Peer

BATCH = 1000
M, EF_CONSTRUCT, FULL_SCAN_KB = 16, 100, 10_000
EFS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)


class QdrantEdge(Peer):
    """HNSW with the settings that Qdrant's server has by default."""

    def __init__(self, folder: Path, int8: bool) -> None:
        super().__init__(folder)
        self.int8 = int8
        self.shard: edge.EdgeShard | None = None
        # With codes, so many times as many candidates are scored anew with their vectors.
        factors = [{"oversampling": factor} for factor in (1.0, 2.0)] if int8 else [{}]
        self.efforts = [{"ef": ef, **factor} for ef in EFS for factor in factors]
        self.filtered_efforts = [{"ef": ef, **factors[-1]} for ef in (64, 128, 512)]

    def describe(self) -> Description:
        codes = ", int8 codes in memory" if self.int8 else ""
        return Description(
            version=version("qdrant-edge-py"),
            index=f"HNSW m {M}, ef_construct {EF_CONSTRUCT}{codes}; payload indexes",
            clients="in process, 4 threads",
            durability="log and files",
        )

    def ingest(self, data: DataSet) -> float | None:
        codes = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=0.99, memory=edge.Memory.Pinned)
        config = edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=data.rows.shape[1], distance=edge.Distance.Cosine),
            hnsw_config=edge.HnswIndexConfig(M, EF_CONSTRUCT, FULL_SCAN_KB),
            quantization_config=codes if self.int8 else None,
        )
        shard = edge.EdgeShard.create(str(self._path), config)
        for field in FIELDS:
            shard.update(edge.UpdateOperation.create_field_index(field, edge.PayloadSchemaType.Integer))
        for batch in data.batches(BATCH):
            points = [edge.Point(row, data.rows[row].tolist(), metadata(row)) for row in batch]
            shard.update(edge.UpdateOperation.upsert_points(points))
        seconds = self.timed(shard.optimize)
        shard.close()
        return seconds

    def open(self) -> None:
        self.shard = edge.EdgeShard.load(str(self._path))

    def query(self, queries: np.ndarray, effort: Effort) -> Calls:
        return self._calls(queries, effort, lambda _: None)

    def filtered_query(self, queries: np.ndarray, effort: Effort, field: str) -> Calls:
        def condition(query: int) -> edge.Filter:
            return edge.Filter(must=[edge.FieldCondition(field, match=edge.MatchValue(wanted(field, query)))])

        return self._calls(queries, effort, condition)

    def _calls(self, queries: np.ndarray, effort: Effort, condition: Callable[[int], edge.Filter | None]) -> Calls:
        codes = edge.QuantizationSearchParams(rescore=True, oversampling=effort.get("oversampling"))
        params = edge.SearchParams(hnsw_ef=effort["ef"], quantization=codes if self.int8 else None)
        requests = [
            edge.QueryRequest(
                limit=TOP_K,
                query=edge.Query.Nearest(vector.tolist()),
                filter=condition(number),
                params=params,
            )
            for number, vector in enumerate(queries)
        ]
        shard = self.shard
        return Calls(
            search=lambda query: shard.query(requests[query]),
            ids=lambda points: [point.id for point in points],
            count=len(requests),
        )

    def close(self) -> None:
        self.shard.close()

    @property
    def _path(self) -> Path:
        return self.folder / "shard"
