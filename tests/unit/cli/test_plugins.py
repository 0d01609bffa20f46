"""Commands of other distributions."""

import importlib.metadata
import re
import sys
import types
from typing import Annotated

import pytest
import typer
import typer.testing

from duetime_client.cli import app


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    def hello(name: Annotated[str, typer.Option()] = "nobody") -> None:
        """Greet a user."""
        typer.echo(f"hello {name}")

    module = types.ModuleType("some_plugin")
    module.__dict__["hello"] = hello
    monkeypatch.setitem(sys.modules, "some_plugin", module)
    points = [
        importlib.metadata.EntryPoint("hello", "some_plugin:hello", "duetime.commands"),
        importlib.metadata.EntryPoint("gone", "some_plugin.gone:hello", "duetime.commands"),
        importlib.metadata.EntryPoint("get", "some_plugin.gone:get", "duetime.commands"),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)


def invoke(*arguments: str) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app.build(), arguments)


@pytest.mark.usefixtures("plugins")
def test_command_of_another_distribution_runs() -> None:
    assert invoke("hello", "--name", "you").stdout == "hello you\n"


@pytest.mark.usefixtures("plugins")
def test_broken_command_fails_and_does_not_affect_the_others() -> None:
    result = invoke("gone", "--whatever", "1")
    assert result.exit_code == 1
    assert "gone cannot be loaded from some_plugin.gone:hello: ModuleNotFoundError" in result.stderr
    text = invoke("--help").stdout
    assert "Greet a user." in text
    assert re.search(r"gone +cannot be loaded", text)


@pytest.mark.usefixtures("plugins")
def test_command_of_another_distribution_does_not_replace_ours() -> None:
    assert "Show a task." in invoke("get", "--help").stdout
    assert invoke("--help").stdout.count("\n  get ") == 1
