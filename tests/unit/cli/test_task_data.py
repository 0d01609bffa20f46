"""`--data`: on the command line, in files of every encoding, and on standard input."""

import codecs
import io
import pathlib
import sys

import pytest
import typer

from duetime_client.cli import task_data

DATA = {"größe": 1}
TEXT = '{"größe": 1}\n'


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.replace("\n", "\r\n").encode(),
    ],
    ids=["UTF-8", "UTF-8 with a mark", "UTF-16", "UTF-16 LE", "UTF-16 BE", "UTF-32", "CRLF"],
)
def test_file_in_any_encoding_is_read(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "data.json").write_bytes(content)
    assert task_data.parse(f"@{tmp_path / 'data.json'}") == DATA


@pytest.mark.parametrize("text", [TEXT, f"\ufeff{TEXT}", "  \n{} "])
def test_text_is_parsed(text: str) -> None:
    assert task_data.parse(text) in (DATA, {})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "data.json is empty"),
        (codecs.BOM_UTF8 + b" \n", "data.json is empty"),
        (b"{'a': 1}", r"data.json is not JSON: Expecting property name enclosed in double quotes: line 1 column 2"),
        (b'{"a": 1,}', "data.json is not JSON"),
        (b"[1]", "data.json is not a JSON object such as"),
        ('{"ü": 1}'.encode("latin-1"), r"data.json is not UTF-8 text: .* at byte 2"),
        (codecs.BOM_UTF16_LE + b"x", "data.json is not UTF-16 text: truncated data at byte"),
        ('{"a": 1}'.encode("utf-16-le"), "data.json is not JSON"),
        (b" " * (4 * 1024 * 1024 + 1), "data.json is larger than 4 MiB"),
        (b"[" * 100_000, "data.json is not JSON: it is nested too deep"),
        (b'{"a": ' + b"1" * 5_000 + b"}", "data.json is not JSON"),
    ],
)
def test_file_without_an_object_is_refused_with_its_name(tmp_path: pathlib.Path, content: bytes, problem: str) -> None:
    (tmp_path / "data.json").write_bytes(content)
    with pytest.raises(typer.BadParameter, match=problem) as caught:
        task_data.parse(f"@{tmp_path / 'data.json'}")
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("@", "has no file name; write @FILE, or - for standard input"),
        ("@/nowhere/data.json", "/nowhere/data.json: No such file or directory"),
        ("@/", "/: Is a directory"),
        ("@a\0b", "not a valid file name"),
        ("@/dev/zero", "/dev/zero is larger than 4 MiB"),
        ("", "the text is empty"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": -Infinity}', "-Infinity is not a JSON number"),
        ('{"a": 1e400}', "'1e400' is too large for a double"),
        ("null", "'null' is not a JSON object such as"),
        ("{" + "x" * 5_000, "'{xxx.*…' is not JSON"),
        ("{\x1b[2J", r"\\x1b.* is not JSON"),
    ],
)
def test_text_that_is_not_an_object_is_refused_in_one_short_sentence(text: str, problem: str) -> None:
    with pytest.raises(typer.BadParameter, match=problem) as caught:
        task_data.parse(text)
    assert len(caught.value.message) < 250
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("text", ["-", "@-"])
def test_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(codecs.BOM_UTF8 + TEXT.encode())))
    assert task_data.parse(text) == DATA
    with pytest.raises(typer.BadParameter, match="standard input is empty"):
        task_data.parse(text)
