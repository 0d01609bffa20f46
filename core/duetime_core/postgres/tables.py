"""The collection of all tables, and how their indexes and constraints are named."""

from typing import Any

import sqlalchemy as sa

MAX_ID = 2**32 - 1
"""Ids are uint32 in the API, because 64-bit integers are strings in protobuf's JSON."""

metadata = sa.MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "pk": "%(table_name)s_pkey",
    }
)


class XID8(sa.types.UserDefinedType[str]):
    """PostgreSQL's 64-bit transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Returns the type's name in DDL."""
        return "XID8"
