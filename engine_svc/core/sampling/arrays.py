"""The arrays of one row: a value per token of the vocabulary, or token ids."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ids = NDArray[np.int64]
