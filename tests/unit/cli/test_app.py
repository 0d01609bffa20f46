"""The command line as a whole: its version, its help and the options of every command."""

import importlib.metadata
import re

import pytest

from duetime_client import cli
from duetime_client.cli import app
from tests.unit.cli.test_commands import Run, run

__all__ = ["run"]


def test_version_is_printed(run: Run) -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"duetime {importlib.metadata.version('duetime-client')}\n")


def test_help_lists_the_exit_codes(run: Run) -> None:
    text = run("--help").stdout
    assert cli.__doc__ is not None
    codes = re.findall(r"^ *(\d+)  ", cli.__doc__, re.MULTILINE)
    assert (
        codes
        == re.findall(r"^ *(\d+)  ", text, re.MULTILINE)
        == ["0", "1", "2", "3", "4", "5", "6", "7", "130", "141", "143"]
    )


COMMANDS = [
    *([name] for name in app.COMMANDS),
    *(
        [group, command.name or command.callback.__name__]
        for group, commands in app.GROUPS.items()
        for command in commands.registered_commands
        if command.callback is not None
    ),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_json_server_and_ca_file(run: Run, command: list[str]) -> None:
    text = run(*command, "--help").stdout
    assert "Usage: root" in text
    assert [option for option in ("--json", "--server", "--ca-file") if option not in text] == []
