"""Prints the first shipped query as the body of a query request (no packages needed)."""

import json
import pathlib
import struct

DIMENSION = 384

data = (pathlib.Path(__file__).parent.parent / "tests/data/wordnet/queries.npy").read_bytes()
header = struct.unpack_from("<H", data, 8)[0]
vector = struct.unpack_from(f"<{DIMENSION}f", data, 10 + header)
print(json.dumps({"vector": vector, "top_k": 3}))
