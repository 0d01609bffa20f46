"""Links between pages, and from pages to code, lead somewhere."""

import pathlib
import re

import pytest

from tests.support import pages

_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)")
_TEST = re.compile(r"\btest_\w+")


def prose(page: pathlib.Path) -> str:
    return _CODE.sub("", page.read_text())


def anchors(page: pathlib.Path) -> set[str]:
    """Returns the anchors of a page's headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: str(page.relative_to(pages.ROOT)))
def test_each_relative_link_has_a_target(page: pathlib.Path) -> None:
    for path, anchor in _LINK.findall(prose(page)):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {path}, which does not exist"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {path}#{anchor}, which has no such heading"


def test_the_tests_that_the_pages_name_exist() -> None:
    known = {
        name for path in pages.ROOT.glob("tests/**/test_*.py") for name in [path.stem, *_TEST.findall(path.read_text())]
    }
    for page in pages.pages():
        assert set(_TEST.findall(page.read_text())) <= known, page.name


def test_the_index_lists_every_page() -> None:
    linked = {path for path, _ in _LINK.findall(prose(pages.ROOT / "docs/README.md"))}
    assert {page.name for page in pages.ROOT.glob("docs/*.md")} - {"README.md"} <= linked
