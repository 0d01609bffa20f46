"""Percentiles."""

import math
from collections.abc import Sequence


def of(values: Sequence[float], percent: float) -> float:
    """Returns the percentile by the nearest-rank method. Raises ValueError if there are no values."""
    if not values:
        raise ValueError("no values were measured")
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]
