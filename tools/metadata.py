"""The version of every distribution, and their pins to each other: a metadata hook of hatchling.

VERSION is the one place for it. The distributions are released together, so each needs its own version of the others.
"""

import pathlib
from typing import Any

from hatchling.metadata.plugin import interface

VERSION = pathlib.Path(__file__).parents[1] / "VERSION"


class Metadata(interface.MetadataHookInterface):
    """Sets `version`, and `dependencies` from the hook's own table, with those on our distributions pinned."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Completes what pyproject.toml declares as dynamic."""
        version = VERSION.read_text().strip()
        metadata["version"] = version
        metadata["dependencies"] = [
            f"{dependency}=={version}" if dependency.startswith("duetime-") else dependency
            for dependency in self.config["dependencies"]
        ]
