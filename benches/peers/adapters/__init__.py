"""The engines that are measured, by name. An engine's package is imported when it is its turn."""

from functools import partial
from importlib import import_module
from pathlib import Path

from peer import Peer

# Name of the results: module, class, and what the class is told beside its folder.
PEERS: dict[str, tuple[str, str, dict]] = {
    "quiver": ("quiver", "Quiver", {}),
    "quiver-hnsw": ("quiver", "QuiverHnsw", {}),
    "qdrant-edge": ("qdrant", "QdrantEdge", {"int8": False}),
    "qdrant-edge-int8": ("qdrant", "QdrantEdge", {"int8": True}),
    "zvec": ("zvec_store", "Zvec", {"int8": False}),
    "zvec-int8": ("zvec_store", "Zvec", {"int8": True}),
    "chroma": ("chroma", "Chroma", {}),
    "lancedb-ivf-pq": ("lance", "IvfPq", {}),
    "lancedb-ivf-hnsw-sq": ("lance", "IvfHnswSq", {}),
    "faiss-ivf-pq-fastscan": ("faiss_index", "IvfPqFastScan", {}),
    "faiss-ivf-sq8": ("faiss_index", "IvfSq8", {}),
    "faiss-hnsw": ("faiss_index", "Hnsw", {}),
}


def load(name: str, folder: Path) -> Peer:
    """The engine of this name, with its data in the folder."""
    module, of, settings = PEERS[name]
    return partial(getattr(import_module(f"adapters.{module}"), of), **settings)(folder)
