"""`python -m tests.chaos.prepare DATA SCRATCH`: creates or checks PostgreSQL's data directory, as its user."""

import pathlib
import sys

from duetime_stack import pgdata

if __name__ == "__main__":
    pgdata.prepare(*(pathlib.Path(argument) for argument in sys.argv[1:]))
