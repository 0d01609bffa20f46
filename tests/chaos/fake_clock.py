"""Wrong clocks of processes, by libfaketime. The monotonic clock stays right."""

import pathlib

import libfaketime

LIBRARY = pathlib.Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"


def variables(library: pathlib.Path = LIBRARY) -> dict[str, str]:
    """Returns the environment variables that give a process its own clock."""
    return {"LD_PRELOAD": str(library), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def shifted(shift: str) -> dict[str, str]:
    """Returns the environment variables that shift the clock of a process, such as by `+1h`."""
    return variables() | {"FAKETIME": shift}
