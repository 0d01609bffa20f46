"""How many requests the edge takes, before it is known who sends them."""

import dataclasses

OF_ADDRESS = 5_000
"""More than twice what one address reaches with one server that does nothing else."""
TOTAL = 20_000
MOST = 1_000_000
"""More than Envoy serves: no limit."""
BURST_SECONDS = 2
"""For how long callers may have been silent, and then make up for it."""


@dataclasses.dataclass(frozen=True)
class Rates:
    """Requests per second."""

    of_address: int = OF_ADDRESS
    """From each IPv4 address, or IPv6 network of 64 bits."""
    total: int = TOTAL
