"""`python -m tools.headers`: writes the licence of tools/metadata.py into the first line of each source file.

Generated files are left out, as .gitattributes marks them. Exits with a sentence if no licence is chosen.
"""

import pathlib
import subprocess

from tools import metadata

ROOT = pathlib.Path(__file__).parents[1]
COMMENTS = {".lua": "--", ".proto": "//", ".py": "#"}
_MARK = "SPDX-License-Identifier:"


def headed(text: str, comment: str, licence: str) -> str:
    """Returns the text of a file with the licence in its first line, in place of another one."""
    first, _, rest = text.partition("\n")
    return f"{comment} {_MARK} {licence}\n{rest if _MARK in first else text}"


def main() -> None:
    """Writes all headers."""
    if not metadata.LICENCE:
        raise SystemExit("no licence is chosen: set LICENCE in tools/metadata.py")
    patterns = [f":(attr:!linguist-generated)*{suffix}" for suffix in COMMENTS]
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603, S607 - git
    for path in (ROOT / name for name in listed.stdout.splitlines()):
        path.write_text(headed(path.read_text(), COMMENTS[path.suffix], metadata.LICENCE))


if __name__ == "__main__":
    main()
