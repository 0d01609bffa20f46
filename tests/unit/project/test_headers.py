"""Headers with the licence, once the owner has chosen one."""

import pytest

from tools import headers, metadata


def test_a_header_is_the_first_line_of_a_file() -> None:
    assert headers.headed('"""A module."""\n', "#", "X") == '# SPDX-License-Identifier: X\n"""A module."""\n'


def test_another_licence_replaces_the_header() -> None:
    assert headers.headed("-- SPDX-License-Identifier: X\nlocal a\n", "--", "Y") == (
        "-- SPDX-License-Identifier: Y\nlocal a\n"
    )


def test_nothing_is_written_before_a_licence_is_chosen() -> None:
    assert not metadata.LICENCE
    with pytest.raises(SystemExit, match="no licence is chosen"):
        headers.main()
