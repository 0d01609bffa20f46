"""docs/configuration.md lists every setting, with its real default and bounds, and nothing else."""

import datetime
import inspect
import pathlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

import pydantic
import pytest

from duetime_client import certificates, credentials
from duetime_client.cli import session
from duetime_core import migrate
from duetime_core.process import crash, settings
from duetime_server import settings as server
from duetime_stack import options, up
from duetime_worker import settings as worker
from tests.support import pages

PAGE = pages.ROOT / "docs/configuration.md"
CODE = ["core", "server", "worker", "clients/python", "stack"]
OTHERS = {crash.VARIABLE}
"""Variables that stand outside of the page's tables."""

_VARIABLE = re.compile(r"\bDUETIME_[A-Z][A-Z_]*[A-Z]\b(?!_)")


class Setting(NamedTuple):
    variable: str
    flag: str
    default: str
    bounds: tuple[str, ...]


CLASSES: dict[str, tuple[type[settings.Variables], type[settings.Variables]]] = {
    "Servers and workers": (settings.Settings, settings.Variables),
    "Server": (server.Settings, settings.Settings),
    "Worker": (worker.Settings, settings.Settings),
    "Secrets": (worker.Secrets, settings.Variables),
    "Encrypted payloads": (worker.Payloads, settings.Variables),
    "Send Email": (worker.Smtp, settings.Variables),
    "Call Webhook": (worker.Webhooks, settings.Variables),
    "Egress": (worker.Egress, settings.Variables),
    "Generate Report": (worker.Reports, settings.Variables),
    "Migrations": (migrate.Settings, settings.Variables),
}
"""Section → its class, and the base whose settings another section lists."""


def written(value: Any) -> str:
    """Returns a value as the page writes it."""
    match value:
        case None:
            return ""
        case bool():
            return str(int(value))
        case list():
            return ",".join(map(str, value))
        case datetime.timedelta():
            return str(pydantic.TypeAdapter(datetime.timedelta).dump_python(value, mode="json"))
        case _:
            return str(value)


def of_class(read: type[settings.Variables], base: type[settings.Variables]) -> Iterator[Setting]:
    for name, field in read.model_fields.items():
        if name not in base.model_fields:
            variable = f"{read.model_config['env_prefix']}{name}".upper()
            yield Setting(variable, "", written(field.default), tuple(bounds(field)))


def bounds(field: Any) -> Iterator[str]:
    """Yields the least and the greatest value, as the page writes them."""
    for side in ("ge", "le"):
        if hasattr(field, side):
            yield written(getattr(field, side))
    inner = (
        each for part in get_args(getattr(field, "annotation", None)) for each in getattr(part, "__metadata__", ())
    )
    for each in (*getattr(field, "metadata", ()), *inner):  # the inner ones are those of `… | None`
        yield from bounds(each)


def of_up() -> Iterator[Setting]:
    for name, parameter in inspect.signature(up.command).parameters.items():
        for option in getattr(parameter.annotation, "__metadata__", ()):
            if option.envvar is None:
                yield Setting(options.AUTH, "--open", written(server.Settings.model_fields["auth"].default), ())
                continue
            flag = f"--{name.replace('_', '-')}"
            found = tuple(written(limit) for limit in (option.min, option.max) if limit is not None)
            yield Setting(option.envvar, flag, written(parameter.default), found)


def of_command_line() -> Iterator[Setting]:
    (option,) = session.Server.__metadata__  # type: ignore[attr-defined]
    yield Setting(option.envvar, "--server", session.DEFAULT_SERVER, ())
    yield Setting(certificates.CA_VARIABLE, "--ca-file", "", ())
    for variable in (credentials.VARIABLE, credentials.FILE_VARIABLE, session.PAYLOAD_KEYS_VARIABLE):
        yield Setting(variable, "", "", ())


SECTIONS: dict[str, list[Setting]] = {
    "`duetime up`": list(of_up()),
    **{title: list(of_class(*classes)) for title, classes in CLASSES.items()},
    "Command line": list(of_command_line()),
}


def rows(title: str) -> dict[str, dict[str, str]]:
    """Returns the rows of a section's table, by variable."""
    _, _, rest = PAGE.read_text().partition(f"# {title}\n")
    section = re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    head, _, *body = [[cell.strip().replace("`", "") for cell in line] for line in lines]
    return {row[0]: dict(zip(head, row, strict=True)) for row in body}


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_lists_the_settings_that_exist_and_no_others(title: str) -> None:
    assert rows(title).keys() == {setting.variable for setting in SECTIONS[title]}


@pytest.mark.parametrize(
    ("title", "setting"),
    [pytest.param(title, each, id=f"{title} {each.variable}") for title, of in SECTIONS.items() for each in of],
)
def test_a_setting_has_its_flag_default_and_bounds(title: str, setting: Setting) -> None:
    row = rows(title)[setting.variable]
    assert (row.get("flag", ""), row["default"]) == (setting.flag, setting.default)
    assert [bound for bound in setting.bounds if bound not in row["type"]] == []


def test_every_class_of_settings_has_a_section() -> None:
    def below(read: type[settings.Variables]) -> Iterator[type[settings.Variables]]:
        for each in read.__subclasses__():
            yield each
            yield from below(each)

    listed = {read for read, _ in CLASSES.values()} | {settings.DatabaseSettings}
    assert {read for read in below(settings.Variables) if read.__module__.startswith("duetime")} == listed


def test_every_variable_that_pages_and_code_name_exists() -> None:
    known = {setting.variable for of in SECTIONS.values() for setting in of} | OTHERS
    files: list[pathlib.Path] = [
        *pages.pages(),
        *(path for folder in CODE for path in (pages.ROOT / folder).rglob("*.py")),
    ]
    named = {name: path for path in files for name in _VARIABLE.findall(path.read_text())}
    assert {name: path.name for name, path in named.items() if name not in known} == {}
