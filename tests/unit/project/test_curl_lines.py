"""Commands with curl in the pages send the API key that the default demands."""

import re

import pytest

from tests.support import pages

_COMMAND = re.compile(r"^curl .*https?://.*$", re.MULTILINE)
_KEY = re.compile(r"-H @\S+\.key ")

COMMANDS = [(page.name, command) for page in pages.pages() for command in _COMMAND.findall(page.read_text())]


def test_pages_have_commands_with_curl() -> None:
    assert {"README.md", "api.md", "queues.md", "schedules.md", "handlers.md"} <= {page for page, _ in COMMANDS}


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_sends_a_key_from_a_file(page: str, command: str) -> None:
    assert _KEY.search(command), f"{page}: {command}"
