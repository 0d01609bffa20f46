"""Code generated from the contract is up to date."""

import pathlib
import subprocess
import sys

from tools import statements

ROOT = pathlib.Path(__file__).parents[3]


def test_the_code_is_what_the_contract_generates(tmp_path: pathlib.Path) -> None:
    subprocess.run([sys.executable, ROOT / "proto/generate.py", tmp_path], check=True, capture_output=True)
    generated = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    sources = {".proto", ".typed"}
    committed = {
        path.relative_to(ROOT / "proto"): path.read_bytes()
        for path in (ROOT / "proto/duetime").rglob("*")
        if path.is_file() and path.suffix not in sources and "__pycache__" not in path.parts
    }
    assert pathlib.Path("duetime/v1/descriptor_set.binpb") in generated
    assert generated.keys() == committed.keys()
    for path, content in generated.items():
        assert content == committed[path], f"{path} is stale: make generate"


def test_the_edges_copy_of_the_contract_is_current(tmp_path: pathlib.Path) -> None:
    subprocess.run([sys.executable, ROOT / "envoy/generate.py", tmp_path], check=True, capture_output=True)
    generated = (tmp_path / "contract.lua").read_bytes()
    assert generated == (ROOT / "envoy/lua/contract.lua").read_bytes(), "contract.lua is stale: make generate"


def test_the_text_of_the_hot_statements_is_current(tmp_path: pathlib.Path) -> None:
    subprocess.run([sys.executable, ROOT / "tools/statements.py", tmp_path], check=True, capture_output=True)
    generated = (tmp_path / "statements.sql").read_bytes()
    committed = ROOT / "core/duetime_core/store/statements.sql"
    assert generated == committed.read_bytes(), "statements.sql is stale: make generate"


def test_the_page_of_who_may_call_what_is_current(tmp_path: pathlib.Path) -> None:
    subprocess.run([sys.executable, ROOT / "tools/authorization.py", tmp_path], check=True, capture_output=True)
    generated = (tmp_path / "authorization.md").read_bytes()
    assert generated == (ROOT / "docs/authorization.md").read_bytes(), "authorization.md is stale: make generate"


def test_reformatting_a_statement_keeps_its_literals_and_comments() -> None:
    comment = "-- " + "why " * 40 + "it is so"
    literal = "'" + "two  spaces, " * 12 + "'"
    lines = statements.formatted(f"SELECT   1,  {literal}\n    {comment}\nFROM  tasks").splitlines()
    assert [line.strip() for line in lines] == ["SELECT 1,", literal, comment, "FROM tasks"]
