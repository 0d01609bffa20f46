"""Each distribution installs from its wheel, with what it declares, into an empty environment, and starts there."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import zipfile

import pytest

from tests.support import processes

ROOT = pathlib.Path(__file__).parents[2]
VERSION = (ROOT / "VERSION").read_text().strip()
FOLDERS = ("proto", "core", "server", "worker", "clients/python", "stack")
# Beside Python: what the packages read at run time, and the marker that they are typed.
DATA = {
    "duetime_client": ["duetime_client/py.typed"],
    "duetime_core": ["duetime_core/py.typed", "duetime_core/postgres/migrations/script.py.mako"],
    "duetime_proto": [
        "duetime/v1/py.typed",
        "duetime/v1/descriptor_set.binpb",
        "duetime/v1/task.proto",
        "duetime_payloads/py.typed",
    ],
    "duetime_server": ["duetime_server/py.typed"],
    "duetime_stack": ["duetime_stack/py.typed", "duetime_stack/envoy.yaml", "duetime_stack/lua/contract.lua"],
    "duetime_worker": ["duetime_worker/py.typed"],
}
NOT_PACKED = {"duetime_core/store/statements.sql"}
"""Written by `make generate` for people who read the code; no program reads it."""
# The package index may be slow, and the first test of these makes the wheels.
pytestmark = pytest.mark.timeout(600)


def run(*command: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a program without this one's settings: what it wrote, and its exit status."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DUETIME_", "PYTHON"))}
    return subprocess.run(
        [str(part) for part in command], env={**environment, **variables}, capture_output=True, text=True, check=False
    )


def stops_in_order(*command: object, ready: str, **variables: str) -> None:
    """Starts a program, waits until it writes that it is ready, and asks it to stop."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DUETIME_", "PYTHON"))}
    with subprocess.Popen(
        [str(part) for part in command],
        env={**environment, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if ready in line:
                process.send_signal(signal.SIGTERM)
        assert process.wait() == 0, "".join(lines)
    assert any(ready in line for line in lines)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A directory with the wheels of all distributions, and with the locked versions of others as constraints."""
    directory = tmp_path_factory.mktemp("wheels")
    for folder in FOLDERS:
        building = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        built = run(*building, "--wheel-dir", directory, ROOT / folder)
        assert built.returncode == 0, built.stderr
    locked = re.findall(r"^[\w.-]+==[^\\\n]*[^\\\s]", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    (directory / "constraints.txt").write_text("\n".join(locked))
    return directory


def install(name: str, wheels: pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
    """Makes an environment with one distribution and what it needs: the directory of its programs."""
    made = run(sys.executable, "-m", "venv", "--without-pip", directory / name)
    assert made.returncode == 0, made.stderr
    programs = directory / name / "bin"
    add(name, wheels, programs)
    return programs


def add(name: str, wheels: pathlib.Path, programs: pathlib.Path) -> None:
    """Installs a distribution into the environment that has these programs."""
    installed = run(
        *(sys.executable, "-m", "pip", "--python", programs / "python", "install", "--quiet", "--no-compile"),
        *("--find-links", wheels, "--constraint", wheels / "constraints.txt", f"{name}=={VERSION}"),
    )
    assert installed.returncode == 0, installed.stderr


@pytest.mark.parametrize("name", DATA)
def test_a_wheel_has_the_files_that_are_not_python(name: str, wheels: pathlib.Path) -> None:
    folder = next(
        folder for folder in FOLDERS if folder.endswith(name.removeprefix("duetime_").replace("client", "python"))
    )
    package = DATA[name][0].rpartition("/")[0]
    with zipfile.ZipFile(wheels / f"{name}-{VERSION}-py3-none-any.whl") as wheel:
        packed = set(wheel.namelist())

    assert set(DATA[name]) <= packed
    files = {
        file for file in (ROOT / folder / package).rglob("*") if file.is_file() and "__pycache__" not in file.parts
    }
    assert {str(file.relative_to(ROOT / folder)) for file in files} - packed <= NOT_PACKED


def test_the_client_installs_alone_and_its_command_line_with_an_extra(
    wheels: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    programs = install("duetime-client", wheels, tmp_path)
    imported = run(programs / "python", "-c", "import duetime_client; print(duetime_client.Client.__name__)")
    without_extra = run(programs / "duetime", "--version")

    assert imported.stdout == "Client\n", imported.stderr
    assert without_extra.returncode == 1
    assert "pip install 'duetime-client[cli]'" in without_extra.stderr

    add("duetime-client[cli]", wheels, programs)

    assert run(programs / "duetime", "--version").stdout == f"duetime {VERSION}\n"
    assert "watch" in run(programs / "duetime", "--help").stdout


def test_the_server_installs_alone_and_serves(
    wheels: pathlib.Path, tmp_path: pathlib.Path, short_directory: pathlib.Path, database_url: str, redis_url: str
) -> None:
    programs = install("duetime-server", wheels, tmp_path)

    stops_in_order(
        *(programs / "python", "-m", "duetime_server"),
        ready="event=serving",
        DUETIME_DATABASE_URL=database_url,
        DUETIME_REDIS_URL=redis_url,
        DUETIME_LISTEN=f"unix:{short_directory / 'wheels.sock'}",
    )


def test_the_worker_installs_alone_and_works(
    wheels: pathlib.Path, tmp_path: pathlib.Path, database_url: str, redis_url: str
) -> None:
    programs = install("duetime-worker", wheels, tmp_path)

    stops_in_order(
        *(programs / "python", "-m", "duetime_worker"),
        ready="event=working",
        DUETIME_DATABASE_URL=database_url,
        DUETIME_REDIS_URL=redis_url,
    )


def test_the_stack_installs_alone_and_starts(wheels: pathlib.Path, open_directory: pathlib.Path) -> None:
    programs = install("duetime-stack", wheels, open_directory)

    assert run(programs / "duetime", "--version").stdout == f"duetime {VERSION}\n"
    assert "--data-dir" in run(programs / "duetime", "up", "--help").stdout
    stops_in_order(
        *(programs / "duetime", "up", "--port", str(processes.free_port()), "--data-dir", open_directory / "data"),
        ready="duetime is ready",
    )
