"""wrk, the load generator for HTTP."""

import asyncio
import dataclasses
import json
import math
import pathlib
import shutil
from collections.abc import Mapping

CONNECTIONS = 50

_SCRIPT = pathlib.Path(__file__).with_suffix(".lua")


@dataclasses.dataclass(frozen=True)
class Answers:
    """wrk's measurements."""

    answered: int
    rate: float
    """Requests per second."""
    p50: float
    """Milliseconds, as `p99`."""
    p99: float


def require() -> None:
    """Raises RuntimeError if wrk is not installed."""
    if shutil.which("wrk") is None:
        raise RuntimeError("this benchmark needs wrk; install it with: apt-get install wrk")


async def post(url: str, body: Mapping[str, object], *, seconds: float) -> Answers:
    """POSTs a JSON object repeatedly over all connections, for `seconds`, rounded up.

    Raises RuntimeError if any response is an error.
    """
    process = await asyncio.create_subprocess_exec(
        *("wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{math.ceil(seconds)}s"),
        *("--timeout", "10s", "--script", str(_SCRIPT), url, "--", json.dumps(body)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"wrk failed:\n{output.decode()}")
    seen = json.loads(output.splitlines()[-1])
    if seen["errors"] or seen["broken"] or not seen["answered"]:
        raise RuntimeError(
            f"POST {url}: {seen['answered']} responses, {seen['errors']} errors; {seen['broken']} requests unanswered"
        )
    return Answers(seen["answered"], seen["answered"] / seen["seconds"], seen["p50"], seen["p99"])
