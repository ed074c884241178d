"""Vectors as JSON."""

import numpy as np


def numbers(vector: np.ndarray) -> str:
    """With as few digits as float32 needs, as compiled clients write them."""
    return f"[{','.join(str(value) for value in vector.astype(np.float32))}]"
