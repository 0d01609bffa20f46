"""Percentiles of what was measured."""

import math
from collections.abc import Sequence


def of(values: Sequence[float], percent: float) -> float:
    """Returns the smallest of the values that so many percent do not exceed (nearest rank). Raises ValueError."""
    if not values:
        raise ValueError("nothing was measured")
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]
