"""Whether a statement reads and changes rows of its own namespace alone, judged by its syntax."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pglast.parser

from duetime_core.postgres import namespace_tables

PARAMETER = "namespace_id"
_PARTITIONED = ("ended_tasks_", "task_logs_")
_STATEMENTS = ("SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt")

Node = dict[str, Any]


class _Scope:
    """What a query sees of those around it: names of CTEs, and which of their tables are restricted."""

    def __init__(self, ctes: frozenset[str] = frozenset(), restricted: frozenset[str] = frozenset()) -> None:
        self.ctes, self.restricted = ctes, restricted


def faults(query: str, own: int | None) -> list[str]:
    """Returns what is not restricted to the namespace in a query whose parameter of that number is the namespace."""
    parsed = json.loads(pglast.parser.parse_sql_json(query))
    return [fault for each in parsed["stmts"] for fault in _Checker(own).check(each["stmt"], _Scope())]


class _Checker:
    def __init__(self, own: int | None) -> None:
        self._own = own

    def check(self, node: Any, scope: _Scope) -> Iterator[str]:
        """Yields the faults in a node and below."""
        if isinstance(node, list):
            for each in node:
                yield from self.check(each, scope)
        elif isinstance(node, dict):
            kind = next(iter(node), "")
            if len(node) == 1 and kind in _STATEMENTS:
                yield from self._query(kind, node[kind], scope)
            else:
                for each in node.values():
                    yield from self.check(each, scope)

    def _query(self, kind: str, query: Node, scope: _Scope) -> Iterator[str]:
        scope, faults = self._with_ctes(query, scope)
        yield from faults
        if query.get("op", "SETOP_NONE") != "SETOP_NONE":
            for side in ("larg", "rarg"):
                yield from self._query("SelectStmt", query[side], scope)
            return
        if kind == "InsertStmt":
            yield from self._insert(query, scope)
            return
        sources = [*query.get("fromClause", []), *query.get("usingClause", [])]
        if kind != "SelectStmt":
            sources.insert(0, {"RangeVar": query["relation"]})
        tables, quals = self._sources(sources, scope)
        conditions = [each for qual in [query.get("whereClause"), *quals] for each in _conjuncts(qual)]
        inner = frozenset(scope.restricted - tables.keys() - _aliases(sources))
        restricted = self._restricted(tables, conditions, inner)
        if not any(_is_false(each) for each in conditions):
            for alias in sorted(tables.keys() - restricted):
                yield f"{kind} of {tables[alias]} AS {alias}"
        below = _Scope(scope.ctes, inner | restricted)
        for name, part in query.items():
            if name not in ("withClause", "relation"):
                yield from self.check(part, below)

    def _with_ctes(self, query: Node, scope: _Scope) -> tuple[_Scope, list[str]]:
        faults: list[str] = []
        for each in query.get("withClause", {}).get("ctes", []):
            cte = each["CommonTableExpr"]
            named = _Scope(scope.ctes | {cte["ctename"]}, scope.restricted)
            faults += self.check(cte["ctequery"], named)
            scope = named
        return scope, faults

    def _sources(self, sources: list[Node], scope: _Scope) -> tuple[dict[str, str], list[Any]]:
        """Returns the tables of namespaces that are read, by their aliases, and the conditions of joins."""
        tables: dict[str, str] = {}
        quals: list[Any] = []
        for source in sources:
            if (table := source.get("RangeVar")) is not None:
                if table["relname"] not in scope.ctes and _is_of_namespaces(table["relname"]):
                    tables[table.get("alias", {}).get("aliasname", table["relname"])] = table["relname"]
            elif (join := source.get("JoinExpr")) is not None:
                found, others = self._sources([join["larg"], join["rarg"]], scope)
                tables |= found
                quals += [*others, join.get("quals")]
        return tables, quals

    def _restricted(self, tables: Mapping[str, str], conditions: list[Any], outer: frozenset[str]) -> frozenset[str]:
        """Returns which of the tables have the namespace, or that of one which has it."""
        known = set(outer)
        pairs = []
        for condition in conditions:
            for one, other in _equalities(condition):
                alias = _alias(one, tables)
                if alias is not None and self._is_own(other):
                    known.add(alias)
                elif alias is not None and (second := _alias(other, {})) is not None:
                    pairs += [(alias, second), (second, alias)]
        for _ in pairs:
            known |= {alias for alias, second in pairs if second in known and alias in tables}
        return frozenset(known & tables.keys())

    def _is_own(self, node: Node) -> bool:
        while (cast := node.get("TypeCast")) is not None:
            node = cast["arg"]
        return self._own is not None and node.get("ParamRef", {}).get("number") == self._own

    def _insert(self, query: Node, scope: _Scope) -> Iterator[str]:
        table = query["relation"]["relname"]
        if _is_of_namespaces(table):
            columns = [each["ResTarget"]["name"] for each in query.get("cols", [])]
            if PARAMETER not in columns:
                yield f"InsertStmt of {table} without {PARAMETER}"
            elif not all(self._is_carried(value) for value in _values(query["selectStmt"], columns.index(PARAMETER))):
                yield f"InsertStmt of {table} with another {PARAMETER}"
        for name, part in query.items():
            if name not in ("withClause", "relation"):
                yield from self.check(part, scope)

    def _is_carried(self, value: Node) -> bool:
        column = value.get("ColumnRef")
        return self._is_own(value) or (column is not None and _fields(column)[-1] == PARAMETER)


def _is_of_namespaces(table: str) -> bool:
    is_partition = table.startswith(_PARTITIONED) and not table.endswith("_seq")
    return table in namespace_tables.TENANT_TABLES or is_partition


def _aliases(sources: list[Node]) -> set[str]:
    """Returns the names of all that is read, tables or not."""
    found: set[str] = set()
    for source in sources:
        ((kind, value),) = source.items()
        if kind == "JoinExpr":
            found |= _aliases([value["larg"], value["rarg"]])
        elif (alias := value.get("alias", {}).get("aliasname") or value.get("relname")) is not None:
            found.add(alias)
    return found


def _conjuncts(condition: Any) -> Iterator[Any]:
    if condition is None:
        return
    if condition.get("BoolExpr", {}).get("boolop") == "AND_EXPR":
        for each in condition["BoolExpr"]["args"]:
            yield from _conjuncts(each)
    else:
        yield condition


def _is_false(condition: Node) -> bool:
    constant = condition.get("A_Const", {})
    return "boolval" in constant and not constant["boolval"].get("boolval", False)


def _equalities(condition: Node) -> Iterator[tuple[Node, Node]]:
    """Yields both sides of an equation, in both orders."""
    compared = condition.get("A_Expr", {})
    if compared.get("kind") == "AEXPR_OP" and compared["name"] == [{"String": {"sval": "="}}]:
        yield compared["lexpr"], compared["rexpr"]
        yield compared["rexpr"], compared["lexpr"]


def _fields(column: Node) -> list[str]:
    return [each.get("String", {}).get("sval", "*") for each in column["fields"]]


def _alias(node: Node, tables: Mapping[str, str]) -> str | None:
    """Returns of which table a node is the namespace; without its name, of the only one that has a namespace."""
    if "ColumnRef" not in node:
        return None
    match _fields(node["ColumnRef"]):
        case [alias, column] if column == PARAMETER:
            return alias
        case [column] if column == PARAMETER and len(tables) == 1:
            return next(iter(tables))
    return None


def _values(selected: Node, position: int) -> Iterator[Node]:
    """Yields what each part of the query of an INSERT has at a position."""
    select = selected.get("SelectStmt", selected)
    if select.get("op", "SETOP_NONE") != "SETOP_NONE":
        for side in ("larg", "rarg"):
            yield from _values(select[side], position)
    elif "valuesLists" in select:
        for row in select["valuesLists"]:
            yield row["List"]["items"][position]
    else:
        yield select["targetList"][position]["ResTarget"]["val"]
