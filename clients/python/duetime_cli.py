"""The entry point of the command line `duetime`. It stands alone, so that Ctrl-C is understood while the client and all
that it needs are imported, which takes longer than most commands.
"""

import signal
import sys


def main() -> None:
    """Runs the command line of this process and exits."""
    try:
        from duetime_client import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
