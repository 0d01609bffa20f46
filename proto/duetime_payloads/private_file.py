"""Files that have keys or secrets in their lines, and that not every user can read."""

import os
import pathlib
from collections.abc import Callable


def read(path: str, parse: Callable[[str], None], *, what: str, is_value: Callable[[str], bool]) -> None:
    """Has `parse` read each line of a file in turn, but no empty ones, and none that begin with `#`.

    Raises ValueError, with the line's number and what `parse` finds wrong; it quotes nothing that may be one of `what`,
    such as "key". `is_value` says whether the path itself may be one, given by mistake.
    """
    try:
        with pathlib.Path(path).open(encoding="utf-8") as file:
            is_private = not os.fstat(file.fileno()).st_mode & 0o007
            text = file.read()
    except UnicodeDecodeError:
        raise ValueError(f"{path} must be text in UTF-8") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte
        if is_value(path) or any(map(str.isspace, path)):
            raise ValueError(
                f"must be the path of a file that has the {what}s, not a {what} itself; what it is now cannot be read, "
                "and is not shown"
            ) from None
        raise ValueError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    if not is_private:
        raise ValueError(f"every user can read the {what}s in {path}; make it private: chmod 600 {path}")
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                parse(line)
            except ValueError as error:
                raise ValueError(f"line {number} of {path}: {error}") from None
