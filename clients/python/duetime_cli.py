"""The entry point of the command line `duetime`. It stands alone, so that Ctrl-C is understood while the client and all
that it needs are imported, which takes longer than most commands.
"""

import os
import signal
import sys
import types

_VERBOSITY = "GRPC_VERBOSITY"


def main() -> None:
    """Runs the command line of this process and exits."""
    try:
        _imported().main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _imported() -> types.ModuleType:
    # gRPC reads its variable at import. What its library would log says less than the line that the command prints.
    # Programs that a command starts do not inherit it.
    is_set = _VERBOSITY in os.environ
    os.environ.setdefault(_VERBOSITY, "NONE")
    from duetime_client import cli

    if not is_set:
        del os.environ[_VERBOSITY]
    return cli
