"""The command line `duetime`.

Exit codes, for scripts:

  0  success
  1  any other failure, or the output cannot be written
  2  invalid command line or value
  3  no such task, schedule or queue
  4  not allowed in the current state: the task is not pending, is running or
     has finished; the version is not current; the request id was used before
  5  the server cannot be reached or did not respond in time
  6  the watched task failed, was cancelled or was deleted
  7  the API key is missing or invalid, or does not permit this
130  interrupted by Ctrl-C
141  the reader of the output has closed it
143  ended by SIGTERM
"""

import sys


def main() -> None:
    """Runs the command line of this process and exits."""
    try:
        from duetime_client.cli import (
            app,
            process,
        )  # here, because the client can be installed without the command line's dependencies
    except ModuleNotFoundError as error:
        sys.exit(f"{error}; the command line requires: pip install 'duetime-client[cli]'")
    process.run(app.build())
