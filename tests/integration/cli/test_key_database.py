"""`duetime key create --database-url`: the way back to an admin key, without a server."""

import asyncio
import json
import os
import pathlib
import subprocess
import sys

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import access, api_key
from duetime_core.store.api_keys import read as key_read
from tests.support import processes


async def create(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs it as a process."""
    command = [str(pathlib.Path(sys.executable).with_name("duetime")), "key", "create", *arguments]
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, env=dict(os.environ)
    )


async def test_an_admin_key_is_created_in_the_database_itself(
    engine: sqlalchemy_asyncio.AsyncEngine, database_url: str, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "url").write_text(f"{database_url}\n")
    made = await create("ops", "--role", "admin", "--never-expires", "--json", "--database-url", f"@{tmp_path / 'url'}")
    assert (made.returncode, made.stderr) == (0, "")
    token = api_key.Token.parse(json.loads(made.stdout)["api_key"])
    known = (await key_read.find(engine, [token.key_id]))[token.key_id]
    assert token.matches(known.digest)
    assert known.key.grant == api_key.Grant("ops", access.Role.ADMIN, may_read_payloads=True)
    assert (known.key.created_by, known.key.expires_at) == ("database", None)
    assert json.loads(made.stdout)["key"]["role"] == "admin"


async def test_a_database_that_cannot_be_used_is_an_error_without_a_password(tmp_path: pathlib.Path) -> None:
    url = f"postgresql://ada:S3cret@127.0.0.1:{processes.free_port()}/none"
    (tmp_path / "url").write_text(url)
    for given, problem in ((url, "contains a password"), (f"@{tmp_path / 'url'}", "cannot be used")):
        failed = await create("ops", "--role", "admin", "--database-url", given)
        assert (failed.returncode, failed.stdout) == (1, "")
        assert problem in failed.stderr
        assert "S3cret" not in failed.stderr
        assert "Traceback" not in failed.stderr
