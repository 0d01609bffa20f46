"""The entry point of the command line `duetime`. A module of its own, so that Ctrl-C is handled while the client and
its dependencies are imported, which takes longer than most commands.
"""

import atexit
import gc
import os
import signal
import sys
import types

_VERBOSITY = "GRPC_VERBOSITY"


def main() -> None:
    """Runs the command line of this process and exits."""
    atexit.register(gc.freeze)  # or Python would search all objects for cycles at exit, which users wait for
    try:
        _imported().main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _imported() -> types.ModuleType:
    # gRPC reads this variable at import. Its own log lines are less useful than the command's error message.
    # Child processes do not inherit it.
    is_set = _VERBOSITY in os.environ
    os.environ.setdefault(_VERBOSITY, "NONE")
    from duetime_client import cli

    if not is_set:
        del os.environ[_VERBOSITY]
    return cli
