"""Checks the contract with buf: its style, and that it breaks no caller of what was released.

`released.binpb` is the contract of the last release. `lint.py --release` makes the present one that.
"""

import pathlib
import subprocess
import sys
import tempfile

import generate

SOURCE = pathlib.Path(__file__).parent
RELEASED = SOURCE / "released.binpb"
BUF = pathlib.Path(sys.executable).with_name("buf")


def main() -> None:
    """Raises CalledProcessError if buf finds fault, which it prints."""
    if sys.argv[1:] == ["--release"]:
        generate.describe(RELEASED)
        return
    with tempfile.TemporaryDirectory() as directory:
        present = pathlib.Path(directory) / "present.binpb"
        # An image, because buf would else need Google's definitions as a module from its registry.
        generate.describe(present)
        for check in (("lint", present), ("breaking", present, "--against", RELEASED)):
            subprocess.run([BUF, *check, "--config", SOURCE / "buf.yaml"], check=True)  # noqa: S603 - ours


if __name__ == "__main__":
    main()
