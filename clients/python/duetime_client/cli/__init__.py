"""The command line `duetime`.

Exit codes, for scripts:

  0  it is done
  1  it failed in another way, or its output cannot be written
  2  the command line or a value in it is wrong
  3  there is no such task, schedule or queue
  4  the task's state does not allow it: it is not pending, it runs, it has
     finished, its version is another, or the request id was used before
  5  the server cannot be reached or did not answer in time
  6  the task that was watched failed, was cancelled or was deleted
130  interrupted by Ctrl-C
141  whatever read its output has left
143  ended by SIGTERM
"""

import sys


def main() -> None:
    """Runs the command line of this process and exits."""
    try:
        from duetime_client.cli import (
            app,
            process,
        )  # here, because the client installs without the command line's needs
    except ModuleNotFoundError as error:
        sys.exit(f"{error}; the command line needs: pip install 'duetime-client[cli]'")
    process.run(app.build())
