"""Statements about one namespace: that of the call which executes them."""

import sqlalchemy as sa

from duetime_core.model import namespace

PARAMETER = "namespace_id"
"""The bind parameter of these statements."""


def text(statement: str) -> sa.TextClause:
    """Returns the statement, whose `:namespace_id` is the namespace of the call at the time of each execution.

    Executing it outside any namespace raises NoNamespaceError. A parameter of that name that a caller passes has no
    effect: the statement's own has another name once it is compiled.
    """
    own = sa.bindparam(PARAMETER, callable_=namespace.current, type_=sa.Integer, unique=True)
    return sa.text(statement).bindparams(own)
