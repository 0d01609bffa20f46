"""`duetime key` against a client that records its calls."""

import dataclasses
import datetime
import importlib.metadata
import json
import pathlib
import stat
import sys
import types
from typing import Any

import pytest

import duetime_client
from duetime_client import CreatedKey
from tests.unit.cli.test_commands import NOW, Client, Run, run

__all__ = ["run"]

SECRET = "dt_aaaaaaaaaaaa_secret_crc"


def key(**fields: Any) -> duetime_client.ApiKey:
    values: dict[str, Any] = {field.name: None for field in dataclasses.fields(duetime_client.ApiKey)} | {
        "key_id": "aaaaaaaaaaaa",
        "name": "ci",
        "role": "editor",
        "may_read_payloads": True,
        "handlers": (),
        "queues": (),
        "actor": "key:aaaaaaaaaaaa",
        "created_by": "api",
        "created_at": NOW,
        "replaced_by": "",
        "last_used_from": "",
        "in_force": True,
    }
    return duetime_client.ApiKey(**(values | fields))


CREATED = CreatedKey(key(), SECRET)


def test_create_prints_the_key_alone_on_standard_output(run: Run) -> None:
    client = Client(CREATED)
    result = run(
        "key", "create", "ci", "--role", "editor", "--handler", "Send Email", "--handler", "Greet", "--expires", "30d",
        client=client,
    )  # fmt: skip
    assert (result.exit_code, result.stdout) == (0, f"{SECRET}\n")
    assert "Key aaaaaaaaaaaa (ci, editor) never expires." in result.stderr
    assert SECRET not in result.stderr
    assert client.called is not None
    method, arguments, options = client.called
    assert (method, arguments) == ("create_key", ("ci", "editor"))
    assert options["handlers"] == ["Send Email", "Greet"]
    assert options["expires_in"] == datetime.timedelta(days=30)


def test_create_prints_json(run: Run) -> None:
    result = run("key", "create", "ci", "--role", "editor", "--json", answer=CREATED)
    assert json.loads(result.stdout)["api_key"] == SECRET
    assert json.loads(result.stdout)["key"]["key_id"] == "aaaaaaaaaaaa"


def test_a_key_is_written_to_a_file_that_only_its_user_reads_and_is_not_printed(
    run: Run, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "admin.key"
    result = run("key", "create", "ci", "--role", "editor", "--out", str(path), "--json", answer=CREATED)
    assert path.read_text() == f"authorization: Bearer {SECRET}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SECRET not in result.output


def test_a_file_that_exists_is_kept_and_no_key_is_created(run: Run, tmp_path: pathlib.Path) -> None:
    path, link = tmp_path / "admin.key", tmp_path / "link"
    path.write_text("mine")
    link.symlink_to(tmp_path / "elsewhere")
    client = Client(CREATED)
    for given in (path, link, tmp_path / "no" / "such"):
        result = run("key", "create", "ci", "--role", "editor", "--out", str(given), client=client)
        assert (result.exit_code, client.called) == (2, None)
    assert path.read_text() == "mine"


def test_a_failed_create_leaves_no_file(run: Run, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "admin.key"
    result = run("key", "create", "ci", "--role", "admin", "--out", str(path), answer=duetime_client.GrantExceeded())
    assert result.exit_code not in (0, 2)
    assert not path.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--role", "root"],
        [],
        ["--role", "admin", "--expires", "30d", "--never-expires"],
        ["--role", "admin", "--expires", "soon"],
    ],
    ids=str,
)
def test_a_key_that_cannot_be_is_a_usage_error(run: Run, arguments: list[str]) -> None:
    client = Client(CREATED)
    assert run("key", "create", "ci", *arguments, client=client).exit_code == 2
    assert client.called is None


def test_a_list_shows_what_each_key_permits_and_when_it_ends(run: Run) -> None:
    keys = [
        key(),
        key(key_id="b" * 12, role="viewer", handlers=("Greet",), expires_at=NOW, in_force=False, last_used_at=NOW),
        key(key_id="c" * 12, role="submitter", revoked_at=NOW, in_force=False, may_read_payloads=False),
    ]
    lines = run("key", "list", "--ended", answer=keys).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["id", "aaaaaaaaaaaa", "b" * 12, "c" * 12]
    assert "never" in lines[1]
    assert "viewer, payloads" in lines[2]
    assert "expired 20" in lines[2]
    assert "revoked 20" in lines[3]
    printed = run("key", "list", "--json", answer=keys).stdout.splitlines()
    assert [json.loads(line)["role"] for line in printed] == ["editor", "viewer", "submitter"]


def test_rotate_prints_the_new_key_and_when_the_old_one_ends(run: Run) -> None:
    rotated = duetime_client.RotatedKey(key(key_id="b" * 12), SECRET, key(expires_at=NOW))
    client = Client(rotated)
    result = run("key", "rotate", "aaaaaaaaaaaa", "--overlap", "1h", client=client)
    assert (result.exit_code, result.stdout) == (0, f"{SECRET}\n")
    assert "The old key, aaaaaaaaaaaa, is accepted until 20" in result.stderr
    assert client.called == ("rotate_key", ("aaaaaaaaaaaa",), {"overlap": datetime.timedelta(hours=1)})


def test_revoke_says_which_key_is_revoked(run: Run) -> None:
    result = run("key", "revoke", "aaaaaaaaaaaa", answer=key(in_force=False))
    assert result.stdout == "Key aaaaaaaaaaaa (ci) is revoked\n"
    assert run("key", "revoke", "aaaaaaaaaaaa", answer=duetime_client.LastAdminKey()).exit_code == 4
    assert run("key", "revoke", "aaaaaaaaaaaa", answer=duetime_client.ApiKeyNotFound()).exit_code == 3


def test_a_key_in_the_database_itself_needs_the_stack(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("key", "create", "ci", "--role", "admin", "--database-url", "@url")
    client = Client(CREATED)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [])
    result = run(*arguments, client=client)
    assert (result.exit_code, client.called) == (1, None)
    assert "pip install duetime-stack" in result.stderr

    def create(database_url: str, **options: Any) -> tuple[dict[str, Any], str]:
        assert (database_url, options["role"]) == ("@url", "admin")
        return dataclasses.asdict(key()), SECRET

    module = types.ModuleType("some_plugin")
    module.__dict__["create"] = create
    monkeypatch.setitem(sys.modules, "some_plugin", module)
    point = importlib.metadata.EntryPoint("database", "some_plugin:create", "duetime.create_key")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point] * (group == point.group))
    assert run(*arguments, client=client).stdout == f"{SECRET}\n"
    assert client.called is None
