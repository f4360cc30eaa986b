"""Which rows a measure tells of: small groups are counted in each of these sets.

An average tells of the rows that have a value, a count of those that pass its FILTER; and a count beside the
dataset's first one tells by difference of the rows that are in one of both alone.
"""

from dataclasses import dataclass

from sqlglot import exp

from services.analytics.dictionary import DIALECT, Measure, dictionary
from services.analytics.query.plan import Plan

ALL = exp.true()


@dataclass(frozen=True)
class RowSets:
    """Conditions over the columns of a fact, all rows first, and which of them each measure tells of."""

    conditions: tuple[exp.Expr, ...]
    of: dict[str, frozenset[int]]


def row_sets(plan: Plan, fact: str) -> RowSets:
    found: dict[str, exp.Expr] = {ALL.sql(): ALL}
    of: dict[str, frozenset[int]] = {}
    base = _told_of(next(iter(dictionary().datasets[fact].measures.values())))[0][1]
    for one in plan.measures:
        if one.dataset != fact:
            continue
        mine = {}
        for aggregate, rows in _told_of(one.measure):
            mine[rows.sql(DIALECT)] = rows
            if isinstance(aggregate, (exp.Count, exp.Sum)) and rows != base:
                apart = exp.NEQ(this=base.copy(), expression=rows.copy())
                mine[apart.sql(DIALECT)] = apart
        found |= mine
        names = list(found)
        of[one.name] = frozenset(names.index(name) for name in mine)
    return RowSets(tuple(found.values()), of)


def _told_of(measure: Measure) -> list[tuple[exp.AggFunc, exp.Expr]]:
    """The aggregates of a measure, each with the rows that it is of."""
    return [(aggregate, _rows(aggregate)) for aggregate in measure.tree.find_all(exp.AggFunc)]


def _rows(aggregate: exp.AggFunc) -> exp.Expr:
    around = aggregate.parent
    parts = [around.expression.this.copy()] if isinstance(around, exp.Filter) else []
    parts += [
        exp.Is(this=column.copy(), expression=exp.Not(this=exp.Null()))
        for column in aggregate.find_all(exp.Column)
    ]
    if not parts:
        return ALL
    # A condition that has no value takes no row.
    return exp.Paren(this=exp.Is(this=exp.Paren(this=exp.and_(*parts)), expression=exp.true()))
