"""The synchronous client in the repository is the one that generate.py writes."""

import pathlib
import subprocess
import sys

CLIENT = pathlib.Path(__file__).parents[3] / "clients/python"


def test_synchronous_client_is_fresh(tmp_path: pathlib.Path) -> None:
    subprocess.run([sys.executable, CLIENT / "generate.py", tmp_path], check=True)
    generated = {path.name: path.read_text() for path in (tmp_path / "duetime_client/_sync").iterdir()}
    present = {path.name for path in (CLIENT / "duetime_client/_sync").glob("*.py")} - {"__init__.py"}
    assert set(generated) == present
    for name, text in generated.items():
        assert (CLIENT / "duetime_client/_sync" / name).read_text() == text
