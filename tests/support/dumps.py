"""Dumps of a test's database, as text."""

import asyncio
import subprocess

from duetime_stack import pgdata


async def read(database_url: str) -> str:
    """Returns all rows of all tables, as pg_dump writes them."""
    process = await asyncio.create_subprocess_exec(
        *(pgdata.program_path("pg_dump"), "--data-only", "--inserts", database_url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, problem = await process.communicate()
    assert process.returncode == 0, problem.decode()
    return output.decode()
