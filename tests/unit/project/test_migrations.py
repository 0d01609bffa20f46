"""Migrations are one chain: a branch that is merged after another must be renumbered."""

import re

from tests.support import pages

VERSIONS = pages.ROOT / "core/duetime_core/postgres/migrations/versions"


def test_each_migration_follows_the_one_with_the_number_before() -> None:
    files = sorted(VERSIONS.glob("*.py"))
    assert [path.name[:5] for path in files] == [f"{number:04}_" for number in range(1, len(files) + 1)]
    for number, path in enumerate(files, start=1):
        found = dict(re.findall(r"^(revision|down_revision) = (.+)$", path.read_text(), re.MULTILINE))
        before = "None" if number == 1 else f'"{number - 1:04}"'
        assert found == {"revision": f'"{number:04}"', "down_revision": before}, path.name
