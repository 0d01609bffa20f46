"""The collection of all tables, and how their indexes and constraints are named."""

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
