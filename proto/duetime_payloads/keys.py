"""The file of the keys that payloads are encrypted with."""

import binascii
import os
import pathlib

from duetime_payloads import form

KEY_BYTES = 32
_EXAMPLE = 'echo "2026-11 $(openssl rand -base64 32)"'


def read(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Reads a file of keys: in each line an id and its key. Empty lines and `#` are skipped.

    Returns the keys by id, in the order of the file. Raises ValueError, with the line's number and what would be right;
    it quotes nothing that may be a key.
    """
    name = os.fspath(path)
    try:
        with pathlib.Path(name).open(encoding="utf-8") as file:
            is_private = not os.fstat(file.fileno()).st_mode & 0o007
            text = file.read()
    except UnicodeDecodeError:
        raise ValueError(f"{name} must be text in UTF-8") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte
        if any(map(str.isspace, name)) or name.endswith("="):
            raise ValueError(
                "must be the path of a file that has the keys, not a key itself; what it is now cannot be read, and is "
                "not shown"
            ) from None
        raise ValueError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None
    if not is_private:
        raise ValueError(f"every user can read the keys in {name}; make it private: chmod 600 {name}")
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            key_id, key = _parse(line)
            if key_id in keys:
                raise ValueError(f"the id {key_id} is listed twice")
        except ValueError as error:
            raise ValueError(f"line {number} of {name}: {error}") from None
        keys[key_id] = key
    if not keys:
        raise ValueError(f"{name} has no keys; this makes a line: {_EXAMPLE}")
    return keys


def _parse(line: str) -> tuple[str, bytes]:
    key_id, _, encoded = line.strip().partition(" ")
    try:
        key = binascii.a2b_base64(encoded.strip(), strict_mode=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES or not form.is_key_id(key_id):
        raise ValueError(f"must be an id and the base64 of {KEY_BYTES} random bytes, as this makes them: {_EXAMPLE}")
    return key_id, key
