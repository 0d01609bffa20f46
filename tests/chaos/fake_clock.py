"""Wrong clocks of processes. The monotonic clock stays right."""

import pathlib
import struct
import subprocess

_SOURCE = pathlib.Path(__file__).with_suffix(".c")


class FakeClock:
    """A clock that can be set while processes run by it. Its files are in `directory`, which they must be able to read.

    Raises CalledProcessError if there is no C compiler.
    """

    def __init__(self, directory: pathlib.Path, *, ahead_seconds: float = 0) -> None:
        self._library = directory / "fake_clock.so"
        self._file = directory / "fake_clock"
        self._file.write_bytes(struct.pack("q", 0))
        self._file.chmod(0o644)
        self.set(ahead_seconds)
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", self._library, _SOURCE], check=True)
        self._library.chmod(0o755)

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that give a process this clock."""
        return {"LD_PRELOAD": str(self._library), "FAKE_CLOCK": str(self._file)}

    def set(self, ahead_seconds: float) -> None:
        """Sets the clock, also of running processes, to that many seconds ahead of the right time."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("q", round(1e9 * ahead_seconds)))
