"""`duetime up` refuses invalid options before it starts anything, with one line and without secrets."""

import pathlib
import types
from collections.abc import Mapping

import pytest

from tests.support import processes, stacks

_NONE: Mapping[str, str] = types.MappingProxyType({})


async def refused(*flags: str, directory: pathlib.Path, variables: Mapping[str, str] = _NONE) -> str:
    """Returns its output."""
    port = ("--port", str(processes.free_port()))
    process = await stacks.launch(
        *(*port, "--data-dir", str(directory / "data"), *flags),
        directory=directory,
        variables=variables,
        demands_keys=True,  # a start without prints a warning
    )
    assert await process.ended() == 1, process.log
    assert process.log[0].startswith("duetime up: ")
    return "\n".join(process.log)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_an_address_that_other_machines_can_reach_is_refused_with_the_option_that_allows_it(
    open_directory: pathlib.Path, host: str
) -> None:
    line = await refused("--host", host, directory=open_directory)
    assert host in line
    assert "--insecure-listen or DUETIME_INSECURE_LISTEN=1" in line


async def test_who_permits_calls_without_encryption_is_not_opened_to_other_machines_by_one_variable(
    open_directory: pathlib.Path,
) -> None:
    variables = {"DUETIME_INSECURE_LISTEN": "1", "DUETIME_AUTH": "open"}
    line = await refused("--host", "0.0.0.0", directory=open_directory, variables=variables)
    assert "--insecure-open or DUETIME_INSECURE_OPEN=1" in line


async def test_a_file_as_the_data_directory_is_refused(open_directory: pathlib.Path) -> None:
    (open_directory / "data").write_text("")
    assert (
        f"{open_directory}/data cannot be used as the data directory (--data-dir or DUETIME_DATA_DIR): it is a file"
        in await refused(directory=open_directory)
    )
    inside = open_directory / "data" / "inside"
    assert f"{open_directory}/data" in await refused("--data-dir", str(inside), directory=open_directory)


@pytest.mark.parametrize("name", ["database", "redis"])
async def test_a_password_in_a_flag_is_refused_with_safer_ways(open_directory: pathlib.Path, name: str) -> None:
    scheme = {"database": "postgresql", "redis": "redis"}[name]
    line = await refused(f"--{name}-url", f"{scheme}://ada:S3cret@127.0.0.1:1/0", directory=open_directory)
    assert "S3cret" not in line
    assert f"DUETIME_{name.upper()}_URL" in line
    assert "@FILE" in line


@pytest.mark.parametrize("name", ["database", "redis"])
@pytest.mark.parametrize(
    "rest", ["://ada:S3cret@h:http/0", "://ada:pa@S3cret@h:1/0/0", "S3cret", "://ada:S3cret@h:99999/0"]
)
async def test_an_invalid_url_is_refused_without_quoting_it(open_directory: pathlib.Path, name: str, rest: str) -> None:
    variable = f"DUETIME_{name.upper()}_URL"
    url = {"database": "postgresql", "redis": "redis"}[name] + rest
    line = await refused(directory=open_directory, variables={variable: url})
    assert "S3cret" not in line
    assert f"{variable} must be a URL such as" in line


@pytest.mark.parametrize("name", ["database", "redis"])
async def test_a_url_in_a_file_is_read_and_shown_without_its_secrets(open_directory: pathlib.Path, name: str) -> None:
    scheme = {"database": "postgresql", "redis": "redis"}[name]
    file = open_directory / "url"
    line = await refused(f"--{name}-url", f"@{file}", directory=open_directory)
    assert f"{file} cannot be read" in line
    file.write_text(f"{scheme}://ada:S3cret@127.0.0.1:1/0?{'password=S3cret' if name == 'redis' else ''}\n")
    line = await refused(f"--{name}-url", f"@{file}", directory=open_directory)
    assert "S3cret" not in line
    assert "***@127.0.0.1:1/0" in line


async def test_a_printed_log_cannot_control_the_terminal(open_directory: pathlib.Path) -> None:
    (open_directory / "hostile.py").write_text(r"raise ImportError('\x1b]0;owned\x07\u2028\u009b2J')")
    port = ("--port", str(processes.free_port()))
    process = await stacks.launch(
        *port, "--data-dir", "data", "--handlers", "hostile", directory=open_directory, cwd=open_directory
    )
    assert await process.ended() == 1
    output = "\n".join(process.log)
    assert r"\x1b]0;owned\x07\u2028\x9b2J" in output
    assert all(char.isprintable() or char == "\n" for char in output)
