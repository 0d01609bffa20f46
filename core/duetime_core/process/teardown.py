"""The end of a process, without the interpreter's last search for garbage."""

import atexit
import gc


def configure() -> None:
    """Has Python exit without searching all objects for cycles, which costs a worker 0.2 to 0.4 s of CPU time."""
    atexit.register(gc.freeze)
