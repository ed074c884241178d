"""Chroma as a server over HTTP."""

import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import chromadb
import numpy as np
from dataset import TOP_K, DataSet, metadata, wanted
from peer import Bodies, Description, Effort, Peer
from server import Server

from adapters.body import numbers

BATCH = 1000
COLLECTION = "bench"
TENANT = "/api/v2/tenants/default_tenant/databases/default_database"


class Chroma(Peer):
    """HNSW with its defaults; only the candidates of a search are varied."""

    efforts = [{"ef_search": ef} for ef in (16, 32, 64, 100, 200, 400)]
    filtered_efforts = [{"ef_search": ef} for ef in (100, 400)]

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server: Server | None = None
        self.effort: Effort | None = None

    def describe(self) -> Description:
        return Description(
            version=version("chromadb"),
            index="HNSW, defaults (max_neighbors 16, ef_construction 100)",
            clients="HTTP, 4 connections of a compiled client",
            durability="log in SQLite, index files",
        )

    def ingest(self, data: DataSet) -> float | None:
        self.open()
        collection = self._client.create_collection(
            COLLECTION, configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )
        for batch in data.batches(BATCH):
            collection.add(
                ids=[str(row) for row in batch],
                embeddings=data.rows[batch.start : batch.stop],
                metadatas=[metadata(row) for row in batch],
            )
        self.close()
        return None

    def open(self) -> None:
        program = str(Path(sys.executable).with_name("chroma"))
        folder = str(self.folder / "chroma")
        self.server = Server(
            lambda port: [program, "run", "--path", folder, "--host", "127.0.0.1", "--port", str(port)],
            self.folder / "server.log",
        )

    def query(self, queries: np.ndarray, effort: Effort) -> Bodies:
        return self._bodies(queries, effort, lambda _: "")

    def filtered_query(self, queries: np.ndarray, effort: Effort, field: str) -> Bodies:
        return self._bodies(queries, effort, lambda query: f',"where":{{"{field}":{wanted(field, query)}}}')

    def _bodies(self, queries: np.ndarray, effort: Effort, where: Callable[[int], str]) -> Bodies:
        collection = self._client.get_collection(COLLECTION, embedding_function=None)
        if effort != self.effort:
            # An index that is loaded keeps the effort that it was loaded with.
            collection.modify(configuration={"hnsw": {"ef_search": effort["ef_search"]}})
            self.close()
            self.open()
            self.effort = effort
        bodies = [
            f'{{"query_embeddings":[{numbers(vector)}],"n_results":{TOP_K},"include":[]{where(number)}}}'
            for number, vector in enumerate(queries)
        ]
        return Bodies(
            address=self.server.address,
            path=f"{TENANT}/collections/{collection.id}/query",
            bodies=[body.encode() for body in bodies],
            ids=lambda answer: [int(id) for id in answer["ids"][0]],
        )

    def close(self) -> None:
        self.server.stop()

    def process_id(self) -> int:
        return self.server.process.pid

    @property
    def _client(self) -> chromadb.api.ClientAPI:
        return chromadb.HttpClient("127.0.0.1", self.server.port)
