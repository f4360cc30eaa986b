"""Filters with their types checked: what a column must be, and the SQL of it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from math import isfinite
from typing import Any
from uuid import UUID

from sqlglot import exp

from services.analytics.query.periods import BadRange, day_of, days_of
from services.analytics.query.schemas import Filter

_EQUAL = ("equals", "notEquals", "set", "notSet")
_ORDERED = (*_EQUAL, "gt", "gte", "lt", "lte")
_NUMBERS, _TIMES = _ORDERED, (*_ORDERED, "inDateRange")
OPERATORS: Mapping[str, Sequence[str]] = {
    "string": (*_EQUAL, "contains"),
    "uuid": _EQUAL,
    "boolean": _EQUAL,
    "integer": _NUMBERS,
    "number": _NUMBERS,
    "time": _TIMES,
    "date": _TIMES,
}
SQL_TYPES = {
    "string": "TEXT", "uuid": "UUID", "boolean": "BOOLEAN", "integer": "DOUBLE PRECISION",
    "number": "DOUBLE PRECISION", "time": "DATE", "date": "DATE",
}  # fmt: skip
_COMPARISONS: Mapping[str, type[exp.Binary]] = {"gt": exp.GT, "gte": exp.GTE, "lt": exp.LT, "lte": exp.LTE}


class BadFilter(ValueError):
    """What is wrong with the operator or the values of a filter."""


@dataclass(frozen=True)
class Condition:
    """A filter of one member, its values as Python has them; times are compared by their day."""

    member: str
    operator: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Either:
    """Conditions of which all or any must hold."""

    every: bool
    parts: tuple["Condition | Either", ...]


Tree = Condition | Either


@cache
def _type(name: str) -> exp.DataType:
    return exp.DataType.build(name, dialect="postgres")


@dataclass
class Values:
    """The values of a statement: each is bound, and none is ever part of its text."""

    bound: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: Any, sql_type: str) -> exp.Expr:
        name = f"p{len(self.bound)}"
        self.bound[name] = value
        return exp.Cast(this=exp.Placeholder(this=name), to=_type(sql_type).copy())

    def any_of(self, values: list[Any], sql_type: str) -> exp.Expr:
        """One parameter, however many values."""
        return exp.Any(this=exp.Paren(this=self.bind(values, f"{sql_type}[]")))


def condition(given: Filter, kind: str, today: date) -> Condition:
    """A filter of a member of this type. Raises BadFilter."""
    if given.operator not in OPERATORS[kind]:
        raise BadFilter(f"{given.operator} is not for a {kind}: use one of {', '.join(OPERATORS[kind])}")
    if given.operator in ("set", "notSet"):
        if given.values:
            raise BadFilter(f"{given.operator} takes no values")
        return Condition(given.member, given.operator, ())
    if not given.values:
        raise BadFilter(f"{given.operator} needs values")
    if given.operator == "inDateRange":
        if len(given.values) > 2:
            raise BadFilter("inDateRange takes the first and the last day")
        return Condition(given.member, given.operator, _range([_text(v) for v in given.values], today))
    if given.operator in _COMPARISONS and len(given.values) > 1:
        raise BadFilter(f"{given.operator} takes one value")
    return Condition(given.member, given.operator, tuple(READERS[kind](value) for value in given.values))


def _range(values: list[str], today: date) -> tuple[date, date]:
    try:
        return days_of(values, today)
    except BadRange as error:
        raise BadFilter(str(error)) from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadFilter("must be a text")
    return value


def _number(value: Any) -> float:
    try:
        found = float(value) if not isinstance(value, bool) else None
    except ValueError:
        found = None
    if found is None or not isfinite(found):
        raise BadFilter("must be a number")
    return found


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise BadFilter("must be true or false")


def _uuid(value: Any) -> UUID:
    try:
        return UUID(_text(value))
    except ValueError as error:
        raise BadFilter("must be a UUID") from error


def _day(value: Any) -> date:
    try:
        return day_of(_text(value))
    except BadRange as error:
        raise BadFilter(str(error)) from error


READERS: Mapping[str, Callable[[Any], Any]] = {
    "string": _text, "uuid": _uuid, "boolean": _boolean, "integer": _number, "number": _number,
    "time": _day, "date": _day,
}  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """What a condition is about: the expression to compare, its type, and for times the moment itself."""

    compared: exp.Expr
    type: str
    moment: exp.Expr | None = None


def sql_of(tree: Tree, subject: Callable[[str], Subject], values: Values) -> exp.Expr:
    """The condition over the columns that `subject` knows by member."""
    if isinstance(tree, Either):
        parts = [sql_of(part, subject, values) for part in tree.parts]
        if not parts:
            return exp.true() if tree.every else exp.false()
        return exp.and_(*parts, copy=False) if tree.every else exp.or_(*parts, copy=False)
    about = subject(tree.member)
    column, sql_type = about.compared, SQL_TYPES[about.type]
    if tree.operator == "set":
        return exp.Is(this=column.copy(), expression=exp.Not(this=exp.Null()))
    if tree.operator == "notSet":
        return exp.Is(this=column.copy(), expression=exp.Null())
    if tree.operator == "contains":
        patterns = [f"%{_literal(value)}%" for value in tree.values]
        return exp.ILike(this=column.copy(), expression=values.any_of(patterns, sql_type))
    if tree.operator in ("equals", "notEquals"):
        same = exp.EQ(this=column.copy(), expression=values.any_of(list(tree.values), sql_type))
        if tree.operator == "equals":
            return same
        none = exp.Is(this=column.copy(), expression=exp.Null())
        return exp.or_(exp.Not(this=same), none, copy=False)
    bound = [values.bind(value, sql_type) for value in tree.values]
    if tree.operator == "inDateRange":
        exact = exp.Between(this=column.copy(), low=bound[0], high=bound[1])
        return exp.and_(exact, *_near(about.moment, tree.values, values), copy=False)
    return _COMPARISONS[tree.operator](this=column.copy(), expression=bound[0])


def _literal(text: str) -> str:
    """A text as a pattern of LIKE that is it alone."""
    return re.sub(r"([\\\\%_])", r"\\\1", text)


def _near(moment: exp.Expr | None, days: Sequence[date], values: Values) -> list[exp.Expr]:
    """Moments that may lie on these days in some zone: for the index; the day itself decides."""
    if moment is None:
        return []
    first, last = days[0] - timedelta(days=2), days[1] + timedelta(days=2)
    return [
        exp.GTE(this=moment.copy(), expression=values.bind(first, "TIMESTAMPTZ")),
        exp.LTE(this=moment.copy(), expression=values.bind(last, "TIMESTAMPTZ")),
    ]
