"""A plan as SQL: each fact aggregated on its own grain, and the groups put side by side.

Several facts are stacked (UNION ALL) and grouped once more by what they share, which is a full join that
also meets where a dimension has no value. No row of one fact ever meets a row of another, so nothing is
multiplied; dimensions are joined by their key, one row at most. The statement is a tree until it is rendered:
names are those of the dictionary, values are bound.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlglot import exp

from services.analytics.dictionary import DIALECT, dictionary
from services.analytics.query.conditions import Subject, Values, sql_of
from services.analytics.query.periods import UNITS
from services.analytics.query.plan import Asked, Grouping, Plan, column_of
from services.analytics.query.row_sets import row_sets
from services.analytics.query.small_groups import WHOLE, tables_of

MEASURE_TYPES = {"integer": "BIGINT", "number": "DOUBLE PRECISION"}


@dataclass(frozen=True)
class OutputColumn:
    """A column of the answer: its key, its member, its type in the dictionary."""

    key: str
    member: str
    type: str
    granularity: str | None = None


@dataclass(frozen=True)
class Statement:
    """SQL for the driver, its values, and what its columns are. Of a teacher, columns after these count
    people: for each fact in each of its sets of rows."""

    sql: str
    values: Mapping[str, Any]
    columns: tuple[OutputColumn, ...]


def columns_of(plan: Plan, *, shown: bool = True) -> tuple[OutputColumn, ...]:
    """Groups, then measures; with `shown` false also those that only filters name."""
    grouped = [OutputColumn(g.key, g.member, grouping_type(g, plan), g.granularity) for g in plan.groups]
    measured = [
        OutputColumn(one.name, one.name, one.measure.type) for one in plan.measures if one.shown or not shown
    ]
    return (*grouped, *measured)


def grouping_type(group: Grouping, plan: Plan) -> str:
    if group.granularity is None:
        return column_of(plan.facts[0], group.member).type
    return "time" if group.granularity == "hour" else "date"


class _Fact:
    """One dataset of a statement, with what it joins."""

    def __init__(self, name: str, plan: Plan, values: Values) -> None:
        self.name = name
        self.plan = plan
        self.values = values
        self.body = dictionary().datasets[name]
        self.joined: dict[str, Mapping[str, str]] = {}

    def own(self, column: str) -> exp.Column:
        return exp.column(column, table=self.name, quoted=True)

    def column(self, member: str) -> exp.Expr:
        """The column of a dimension: an own one where it is what is joined by, so that it stands there also
        when the other row has gone."""
        dimension = column_of(self.name, member)
        if dimension.dataset == self.name:
            return self.own(dimension.column)
        by = self.body.joins[dimension.dataset]
        if dimension.column in by:
            return self.own(by[dimension.column])
        self.joined[dimension.dataset] = by
        return exp.column(dimension.column, table=dimension.dataset, quoted=True)

    def local(self, member: str) -> exp.Expr:
        """The timestamp without zone that clocks show, of a time; of a date its midnight."""
        column = self.column(member)
        if column_of(self.name, member).type == "date":
            return exp.cast(column, "TIMESTAMP")
        zone = self.values.bind(self.plan.zone, "TEXT")
        return exp.Paren(this=exp.AtTimeZone(this=column, zone=zone))

    def bucket(self, member: str, granularity: str) -> exp.Expr:
        unit = exp.Literal.string(granularity)
        if granularity == "hour":
            zone = self.values.bind(self.plan.zone, "TEXT")
            return exp.Anonymous(this="date_trunc", expressions=[unit, self.column(member), zone])
        start = exp.Anonymous(this="date_trunc", expressions=[unit, self.local(member)])
        return exp.cast(start, "DATE")

    def group(self, group: Grouping) -> exp.Expr:
        if group.granularity is None:
            return self.column(group.member)
        return self.bucket(group.member, group.granularity)

    def subject(self, member: str) -> Subject:
        kind = column_of(self.name, member).type
        if kind not in ("time", "date"):
            return Subject(self.column(member), kind)
        return Subject(
            exp.cast(self.local(member), "DATE"), kind, self.column(member) if kind == "time" else None
        )

    def condition(self) -> exp.Expr:
        return sql_of(self.plan.where, self.subject, self.values)

    def people(self, among: exp.Expr) -> exp.Expr:
        """Different people in these rows."""
        if self.body.person is None:
            return exp.cast(exp.Null(), "BIGINT")
        return _people_among(self.own(self.body.person), self.qualified(among))

    def qualified(self, tree: exp.Expr) -> exp.Expr:
        """An expression of the dictionary, its columns those of this fact."""
        tree = exp.Paren(this=tree.copy())
        for column in list(tree.find_all(exp.Column)):
            column.replace(self.own(column.name))
        return tree

    def measure(self, one: Asked) -> exp.Expr:
        return exp.cast(self.qualified(one.measure.tree), MEASURE_TYPES[one.measure.type])

    def rows(self, statement: exp.Select, me: UUID | None) -> exp.Select:
        """Put FROM, the joins that columns have asked for, and for a teacher the own courses."""
        statement = statement.from_(_view(self.name), copy=False)
        for other, by in self.joined.items():
            on = [
                exp.EQ(this=self.own(mine), expression=exp.column(theirs, table=other, quoted=True))
                for theirs, mine in by.items()
            ]
            same = exp.and_(*on, copy=False)
            statement = statement.join(_view(other), on=same, join_type="LEFT", copy=False)
        if me is not None:
            assert self.body.course is not None
            mine = exp.Subquery(this=own_courses(self.values, me))
            inside = exp.In(this=self.own(self.body.course), query=mine)
            statement = statement.where(inside, copy=False)
        return statement


def _view(name: str) -> exp.Subquery:
    """A dataset where a table may stand."""
    return dictionary().datasets[name].select.subquery(exp.to_identifier(name, quoted=True), copy=False)


def own_courses(values: Values, me: UUID) -> exp.Query:
    """The courses that somebody teaches, whatever the query says."""
    bound = values.bind(me, "UUID")
    teaches = exp.or_(
        exp.EQ(this=exp.column("instructor"), expression=bound),
        _call("jsonb_exists", exp.column("instructors"), exp.cast(bound.copy(), "TEXT")),
    )
    return exp.select(exp.column("uuid")).from_("courses").where(teaches)


def compile_plan(
    plan: Plan, *, me: UUID | None = None, limit: int | None = None, offset: int = 0
) -> Statement:
    """The statement of a plan, with at most `limit` rows. Of `me` it takes own courses alone, and leaves
    filters by measures, order and offset to what comes after small groups are hidden."""
    values = Values()
    stacked: exp.Query | None = None
    for name in plan.facts:
        part = _of_fact(_Fact(name, plan, values), me)
        stacked = part if stacked is None else exp.union(stacked, part, distinct=False, copy=False)
    assert stacked is not None
    keys = [f"d{i}" for i in range(len(plan.groups))]
    columns: list[exp.Expr] = [_named(key) for key in keys]
    for j, one in enumerate(plan.measures):
        columns.append(_as(_top(f"m{j}", one.measure.of_nothing), f"m{j}"))
    if me is not None:
        columns += [_as(_top(name, None), name) for name, _, _ in _counts(plan)]
    joined = exp.select(*columns, copy=False).from_(stacked.subquery("facts", copy=False), copy=False)
    if keys:
        joined = joined.group_by(*map(_named, keys), copy=False)
    outer = exp.select("*").from_(joined.subquery("joined", copy=False), copy=False)
    if me is None:
        outer = _ordered(plan, outer, values)
        outer = outer.offset(offset, copy=False) if offset else outer
    outer = outer.limit(limit, copy=False) if limit is not None else outer
    return Statement(_rendered(outer), values.bound, columns_of(plan, shown=False))


def _named(name: str) -> exp.Column:
    return exp.column(name, quoted=True)


def _as(value: exp.Expr, name: str) -> exp.Expr:
    return exp.alias_(value, name, quoted=True, copy=False)


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    """A function by its name, as PostgreSQL has it."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def _top(name: str, of_nothing: int | None) -> exp.Expr:
    """The one number that a column of the stacked facts has in a group."""
    found = exp.Max(this=_named(name))
    if of_nothing is None:
        return found
    return exp.Coalesce(this=found, expressions=[exp.Literal.number(of_nothing)])


def _of_fact(fact: _Fact, me: UUID | None) -> exp.Select:
    plan = fact.plan
    columns = [_as(fact.group(group), f"d{i}") for i, group in enumerate(plan.groups)]
    for j, one in enumerate(plan.measures):
        mine = one.dataset == fact.name
        value = fact.measure(one) if mine else exp.cast(exp.Null(), MEASURE_TYPES[one.measure.type])
        columns.append(_as(value, f"m{j}"))
    if me is not None:
        for name, of, among in _counts(plan):
            value = fact.people(among) if of == fact.name else exp.cast(exp.Null(), "BIGINT")
            columns.append(_as(value, name))
    where = fact.condition()
    statement = fact.rows(exp.select(*columns, copy=False), me).where(where, copy=False)
    places = (exp.Literal.number(i + 1) for i in range(len(plan.groups)))
    return statement.group_by(*places, copy=False)


def _people_among(person: exp.Expr, among: exp.Expr) -> exp.Expr:
    count = exp.Count(this=exp.Distinct(expressions=[person]))
    return exp.Filter(this=count, expression=exp.Where(this=among))


def _counts(plan: Plan) -> list[tuple[str, str, exp.Expr]]:
    """Column, fact and set of rows of each number of people."""
    return [
        (f"n{k}_{n}", fact, among)
        for k, fact in enumerate(plan.facts)
        for n, among in enumerate(row_sets(plan, fact).conditions)
    ]


def _ordered(plan: Plan, outer: exp.Select, values: Values) -> exp.Select:
    places = {one.name: f"m{j}" for j, one in enumerate(plan.measures)}
    kinds = {one.name: one.measure.type for one in plan.measures}
    if plan.having.parts:
        subject = {name: Subject(_named(place), kinds[name]) for name, place in places.items()}
        outer = outer.where(sql_of(plan.having, subject.__getitem__, values), copy=False)
    places |= {group.key: f"d{i}" for i, group in enumerate(plan.groups)}
    by = [
        exp.Ordered(this=_named(places[key]), desc=way == "desc", nulls_first=False)
        for key, way in plan.order
    ]
    return outer.order_by(*by, copy=False) if by else outer


def _rendered(statement: exp.Query) -> str:
    return statement.sql(DIALECT, identify=True)


@dataclass(frozen=True)
class CellDimension:
    """A dimension of the table of cells, and how fine."""

    member: str
    level: str

    @property
    def levels(self) -> tuple[str, ...]:
        """From coarse to fine."""
        return (WHOLE,) if self.level == WHOLE else UNITS[: UNITS.index(self.level) + 1]


def compile_cells(
    plan: Plan, fact_name: str, dims: Sequence[CellDimension], me: UUID, limit: int
) -> Statement:
    """People by cell, of the finest table and of all coarser ones (`small_groups`), whatever the filters.

    Columns: for each level of each dimension whether the cell's table leaves it out; these levels; then of
    finest cells whether the filters take it, and the group of the answer that it is in; then the people in
    each set of rows of the fact.
    """
    values = Values()
    fact = _Fact(fact_name, plan, values)
    assert fact.body.person is not None
    levels = [(f"c{i}_{level}", dim, level) for i, dim in enumerate(dims) for level in dim.levels]
    inner = [
        _as(fact.column(dim.member) if level == WHOLE else fact.bucket(dim.member, level), name)
        for name, dim, level in levels
    ]
    chosen = exp.Coalesce(this=exp.Paren(this=fact.condition()), expressions=[exp.false()])
    groups = [f"d{i}" for i in range(len(plan.groups))]
    sets_of_rows = row_sets(plan, fact_name).conditions
    among = [f"in{n}" for n in range(len(sets_of_rows))]
    inner += [_as(fact.qualified(rows), name) for rows, name in zip(sets_of_rows, among, strict=True)]
    inner += [_as(chosen, "chosen"), _as(fact.own(fact.body.person), "person")]
    inner += [_as(fact.group(group), name) for name, group in zip(groups, plan.groups, strict=True)]
    outer = [
        *(_as(_call("grouping", _named(name)), f"g_{name}") for name, _, _ in levels),
        *(_named(name) for name, _, _ in levels),
        _call("bool_or", _named("chosen")),
        *(_call("any_value", _named(name)) for name in groups),
        *(_people_among(_named("person"), _named(name)) for name in among),
    ]
    sets = [
        exp.Tuple(expressions=[_named(f"c{i}_{level}") for i, level in enumerate(table) if level])
        for table in tables_of([dim.level for dim in dims])
    ]
    rows = fact.rows(exp.select(*inner, copy=False), me).subquery("rows", copy=False)
    statement = exp.select(*outer, copy=False).from_(rows, copy=False).limit(limit, copy=False)
    statement.set("group", exp.Group(grouping_sets=[exp.GroupingSets(expressions=sets)]))
    return Statement(_rendered(statement), values.bound, ())
