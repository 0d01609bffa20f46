"""A hook of hatchling: the version, the pins and the licence of all distributions.

The file VERSION is the one place for the version. The distributions are released together, so each is
pinned to its own version of the others.
"""

import pathlib
from typing import Any

from hatchling.metadata.plugin import interface

VERSION = pathlib.Path(__file__).parents[1] / "VERSION"
LICENCE = ""
"""An SPDX expression. Empty until the owner has chosen one; then run `python -m tools.headers`."""


class Metadata(interface.MetadataHookInterface):
    """Sets the version, the licence, and the dependencies of the hook's own table, pinned where they are ours."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Completes what pyproject.toml declares as dynamic."""
        version = VERSION.read_text().strip()
        metadata["version"] = version
        metadata["dependencies"] = [
            f"{dependency}=={version}" if dependency.startswith("duetime-") else dependency
            for dependency in self.config["dependencies"]
        ]
        if LICENCE:
            metadata["license"] = LICENCE
