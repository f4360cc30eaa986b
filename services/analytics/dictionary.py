"""The dictionary of numbers: `metrics.yml` read, checked and asked for members.

It is loaded when a process starts, and a mistake in it ends that start with a sentence. Expressions are
parsed by sqlglot and are used as trees from then on: nothing is put together as text.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import sqlglot
import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator
from sqlglot import exp

FILE = Path(__file__).parent / "metrics.yml"
DIALECT = "postgres"
TIME = "time.at"
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Text = Annotated[str, StringConstraints(min_length=1, pattern=r"^\S")]
ColumnType = Literal["string", "integer", "number", "boolean", "uuid", "time", "date", "json"]
Audience = Literal["teacher", "manager"]


class DictionaryError(ValueError):
    """metrics.yml says something that cannot be."""


def parsed(sql: str) -> exp.Expr:
    """An expression of the dictionary, as a tree of one's own. Raises DictionaryError."""
    return _parsed(sql).copy()


@cache
def _parsed(sql: str) -> exp.Expr:
    try:
        tree: exp.Expr = sqlglot.parse_one(sql, dialect=DIALECT)
    except sqlglot.ParseError as error:
        raise DictionaryError(f"{sql!r} is no SQL: {error.errors[0]['description']}") from error
    if "%" in tree.sql(DIALECT):
        raise DictionaryError(f"{sql!r} has a %, which the driver takes for a parameter: write mod(a, b)")
    return tree


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(Entry):
    """A column of a view; with a title it is a dimension."""

    type: ColumnType
    description: Text
    sql: Text | None = None
    title: Text | None = None
    within: Name | None = None
    part_of: Name | None = None
    personal: bool = False
    caveats: tuple[Text, ...] = ()
    since_version: str | None = None


class Measure(Entry):
    """An aggregate over a view's columns."""

    title: Text
    description: Text
    sql: Text
    type: Literal["integer", "number"]
    unit: Text
    caveats: tuple[Text, ...] = ()
    since_version: str | None = None

    @property
    def tree(self) -> exp.Expr:
        return parsed(self.sql)

    @property
    def of_nothing(self) -> int | None:
        """What it is where there are no rows: 0 of counts and sums, else nothing."""
        root = self.tree
        root = root.this if isinstance(root, exp.Div) else root
        root = root.this if isinstance(root, exp.Filter) else root
        return 0 if isinstance(root, (exp.Count, exp.Coalesce)) else None


class Rule(Entry):
    """A number that dashboards compute; told in the dictionary, not asked for by queries."""

    title: Text
    description: Text
    type: Literal["boolean", "integer", "number"]
    unit: str
    caveats: tuple[Text, ...] = ()


class TimeEntry(Entry):
    title: Text
    description: Text
    caveats: tuple[Text, ...] = ()


class Dataset(Entry):
    """A view over the read models, and what can be asked of it."""

    title: Text
    description: Text
    grain: Text
    source: Text
    where: Text | None = None
    distinct_on: tuple[Name, ...] = ()
    time: Name | None = None
    person: Name | None = None
    course: Name | None = None
    audience: Audience = "teacher"
    sql_role: Literal["analyst", "people"] = "analyst"
    owner: str | None = None
    joins: Mapping[Name, Mapping[Name, Name]] = {}
    columns: Mapping[Name, Column]
    measures: Mapping[Name, Measure]

    @property
    def select(self) -> exp.Select:
        """The view's own statement, over the tables of a projection."""
        columns = (
            exp.alias_(parsed(c.sql) if c.sql else exp.column(n, quoted=True), n, quoted=True, copy=False)
            for n, c in self.columns.items()
        )
        statement = exp.select(*columns, copy=False)
        of = parsed(f"SELECT 1 FROM {self.source}")
        statement.set("from_", of.args["from_"])
        statement.set("joins", of.args.get("joins"))
        if self.distinct_on:
            statement.distinct(*(parsed(self.columns[n].sql or n) for n in self.distinct_on), copy=False)
        return statement.where(parsed(self.where), copy=False) if self.where else statement

    @model_validator(mode="after")
    def _names_its_columns(self) -> Self:
        named = [self.time, self.person, self.course, *self.distinct_on]
        named += [own for join in self.joins.values() for own in join.values()]
        named += [name for column in self.columns.values() for name in (column.within, column.part_of)]
        for name in filter(None, named):
            if name not in self.columns:
                raise ValueError(f"{name} is no column of it")
        if self.time and self.columns[self.time].type not in ("time", "date"):
            raise ValueError(f"its time, {self.time}, is a {self.columns[self.time].type}")
        if self.measures and self.course is None and self.audience == "teacher":
            raise ValueError("it has no course to hold teachers to: its audience is manager")
        for name, column in self.columns.items():
            for other in filter(None, (column.within, column.part_of)):
                if not self.columns[other].title:
                    raise ValueError(f"{name} is within {other}, which is no dimension")
        for name, measure in self.measures.items():
            if name in self.columns and self.columns[name].title:
                raise ValueError(f"{name} is a measure and a dimension")
            _check_measure(name, measure, set(self.columns))
        assert self.select
        return self


def _check_measure(name: str, measure: Measure, columns: set[str]) -> None:
    tree = measure.tree
    if not tree.find(exp.AggFunc):
        raise ValueError(f"measure {name} aggregates nothing: {measure.sql}")
    if tree.find(exp.Query, exp.Window):
        raise ValueError(f"measure {name} is more than an aggregate: {measure.sql}")
    for column in tree.find_all(exp.Column):
        if column.name not in columns:
            raise ValueError(f"measure {name} reads {column.name}, which is no column of its dataset")
        if not column.find_ancestor(exp.AggFunc, exp.Filter):
            raise ValueError(f"measure {name} reads {column.name} outside an aggregate")


@dataclass(frozen=True)
class Dimension:
    """A dimension by its full name, and the column that it is."""

    name: str
    dataset: str
    column: str
    of: Column

    @property
    def type(self) -> str:
        return self.of.type


class Dictionary(Entry):
    """All of metrics.yml. Members are called `dataset.name`."""

    since_version: str
    owner: str
    time: TimeEntry
    datasets: Mapping[Name, Dataset]
    rules: Mapping[Name, Rule] = {}
    dashboards: Mapping[str, str] = {}

    @model_validator(mode="after")
    def _dashboards_show_what_there_is(self) -> Self:
        known = {name for name, _, _ in self.measures()} | {f"rules.{name}" for name in self.rules}
        for shown, name in self.dashboards.items():
            if name not in known:
                raise ValueError(f"the dashboards' {shown} is {name}, which is neither measure nor rule")
        return self

    @model_validator(mode="after")
    def _joins_exist(self) -> Self:
        for name, dataset in self.datasets.items():
            for other, columns in dataset.joins.items():
                if other not in self.datasets:
                    raise ValueError(f"{name} joins {other}, which is no dataset")
                for column in columns:
                    if column not in self.datasets[other].columns:
                        raise ValueError(f"{name} joins {other} by {column}, which is no column of it")
            if name in ("time", "rules"):
                raise ValueError(f"{name} is no name for a dataset")
        return self

    def measures(self) -> Iterator[tuple[str, str, Measure]]:
        """`(full name, dataset, measure)` of every measure."""
        for dataset, body in self.datasets.items():
            for name, measure in body.measures.items():
                yield f"{dataset}.{name}", dataset, measure

    def dimensions(self) -> Iterator[Dimension]:
        """Every dimension but time.at, which has a column in every dataset."""
        for dataset, body in self.datasets.items():
            for name, column in body.columns.items():
                if column.title and body.measures:
                    yield Dimension(f"{dataset}.{name}", dataset, name, column)

    def reach(self, fact: str) -> tuple[str, ...]:
        """The datasets by whose dimensions a fact can be grouped, itself first."""
        return (fact, *self.datasets[fact].joins)

    def owner_of(self, dataset: str) -> str:
        return self.datasets[dataset].owner or self.owner


def read(text: str) -> Dictionary:
    """The dictionary that a YAML text tells. Raises DictionaryError with every mistake and its place."""
    try:
        return Dictionary.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise DictionaryError(f"metrics.yml is no YAML: {error}") from error
    except ValueError as error:
        said = getattr(error, "errors", None)
        if said is None:
            raise
        faults = (f"{'.'.join(map(str, f['loc'])) or 'the file'}: {f['msg']}" for f in said())
        raise DictionaryError("metrics.yml: " + "; ".join(faults)) from error


@cache
def dictionary() -> Dictionary:
    """The dictionary of this release."""
    return read(FILE.read_text())


@cache
def dimensions() -> dict[str, Dimension]:
    return {dimension.name: dimension for dimension in dictionary().dimensions()}


@cache
def measures() -> dict[str, tuple[str, Measure]]:
    """Dataset and measure by full name."""
    return {name: (dataset, measure) for name, dataset, measure in dictionary().measures()}


@cache
def entries() -> tuple[dict[str, Any], ...]:
    """What `GET /api/analytics/metrics/` answers: every measure, dimension and rule."""
    known = dictionary()
    found = (*_measures(known), _time(known), *_dimensions(known), *_rules(known))
    return tuple({**entry, "shown_as": _shown_as(known, entry["name"])} for entry in found)


def _shown_as(known: Dictionary, name: str) -> list[str]:
    """The numbers of dashboards that it defines, as `dashboard.field`."""
    return [shown for shown, defined in known.dashboards.items() if defined == name]


def _measures(known: Dictionary) -> Iterator[dict[str, Any]]:
    for name, dataset, measure in known.measures():
        body = known.datasets[dataset]
        reached = [d.name for d in known.dimensions() if d.dataset in known.reach(dataset)]
        yield {
            "name": name,
            "kind": "measure",
            "dataset": dataset,
            "title": measure.title,
            "description": measure.description,
            "sql": f"SELECT {measure.tree.sql(DIALECT)} FROM {dataset}",
            "grain": body.grain,
            "type": measure.type,
            "unit": measure.unit,
            "caveats": list(measure.caveats),
            "owner": known.owner_of(dataset),
            "since_version": measure.since_version or known.since_version,
            "audience": body.audience,
            "dimensions": ([TIME] if body.time else []) + reached,
        }


def _dimensions(known: Dictionary) -> Iterator[dict[str, Any]]:
    for dimension in known.dimensions():
        body = known.datasets[dimension.dataset]
        yield {
            "name": dimension.name,
            "kind": "dimension",
            "dataset": dimension.dataset,
            "title": dimension.of.title,
            "description": dimension.of.description,
            "sql": f"{dimension.dataset}.{dimension.column}",
            "grain": body.grain,
            "type": dimension.type,
            "unit": None,
            "caveats": list(dimension.of.caveats),
            "owner": known.owner_of(dimension.dataset),
            "since_version": dimension.of.since_version or known.since_version,
            "audience": "manager" if dimension.of.personal else body.audience,
            "dimensions": [],
        }


def _time(known: Dictionary) -> dict[str, Any]:
    columns = (f"{name}.{body.time}" for name, body in known.datasets.items() if body.time and body.measures)
    return {
        "name": TIME,
        "kind": "dimension",
        "dataset": "time",
        "title": known.time.title,
        "description": known.time.description,
        "sql": ", ".join(columns),
        "grain": "the time of each dataset",
        "type": "time",
        "unit": None,
        "caveats": list(known.time.caveats),
        "owner": known.owner,
        "since_version": known.since_version,
        "audience": "teacher",
        "dimensions": [],
    }


def _rules(known: Dictionary) -> Iterator[dict[str, Any]]:
    for name, rule in known.rules.items():
        yield {
            "name": f"rules.{name}",
            "kind": "rule",
            "dataset": "rules",
            "title": rule.title,
            "description": rule.description,
            "sql": None,
            "grain": "one learner, or the learners of a course",
            "type": rule.type,
            "unit": rule.unit or None,
            "caveats": list(rule.caveats),
            "owner": known.owner,
            "since_version": known.since_version,
            "audience": "teacher",
            "dimensions": [],
        }
