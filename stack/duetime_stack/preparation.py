"""Prepares the database of a stack: `python -m duetime_stack.preparation [ADMIN_KEY_FILE]`.

The migrations and the admin key are one process, because its imports take longest. What the user has to know of the key
is printed; the log is on standard error.
"""

import asyncio
import pathlib
import sys

from duetime_core import migrate
from duetime_core.process import logging, teardown
from duetime_stack import admin_key


def main() -> None:
    """Reads the settings of the migrations and applies them. Then creates the key, if its file is given."""
    logging.configure()
    teardown.configure()
    settings = migrate.Settings.read()
    asyncio.run(migrate.run(settings))
    for path in sys.argv[1:]:
        sys.stdout.write(admin_key.ensure(pathlib.Path(path), settings.database_url))


if __name__ == "__main__":
    main()
