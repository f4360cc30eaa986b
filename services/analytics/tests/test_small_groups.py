"""What is hidden of small groups: no difference of two shown groups is about fewer than five people."""

from collections import defaultdict
from datetime import date
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.query.small_groups import (
    FEWEST,
    WHOLE,
    Key,
    Levels,
    coarsened,
    hidden_cells,
    levels_of,
    tables_of,
)

DAYS = [date(2026, 1, 5), date(2026, 1, 6), date(2026, 2, 1), date(2026, 4, 1), date(2027, 1, 1), None]
ROWS = st.lists(
    st.tuples(st.sampled_from("ABC"), st.sampled_from("xyz"), st.sampled_from(DAYS), st.integers(0, 14)),
    min_size=20,
    max_size=60,
)
FINEST = st.sampled_from([(WHOLE, WHOLE, "day"), (WHOLE, WHOLE, "month"), (WHOLE, "day"), (WHOLE, WHOLE)])


def shaped(rows: list[tuple[Any, ...]], finest: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Rows as `(values…, person)` of the dimensions that the table has."""
    picked = {"day": 2, "month": 2}
    places = [picked.get(level, 0 if i == 0 else 1) for i, level in enumerate(finest)]
    return [(*(row[place] for place in places), row[3]) for row in rows]


def cells(rows: list[tuple[Any, ...]], levels: Levels) -> dict[Key, set[int]]:
    found: defaultdict[Key, set[int]] = defaultdict(set)
    for row in rows:
        found[coarsened(row[:-1], levels)].add(row[-1])
    return found


def hidden_of(rows: list[tuple[Any, ...]], finest: tuple[str, ...]) -> dict[Levels, set[Key]]:
    """What is hidden of every table, as a query that sees just this table would have it."""
    return {levels: _hidden(rows, levels) for levels in tables_of(finest)}


def _hidden(rows: list[tuple[Any, ...]], levels: Levels) -> set[Key]:
    """A table whose dimensions at None are no dimensions of the query at all."""
    places = [i for i, level in enumerate(levels) if level is not None]
    narrow = [(*(row[i] for i in places), row[-1]) for row in rows]
    finest = [level for level in levels if level is not None]
    tables = {t: {k: len(p) for k, p in cells(narrow, t).items()} for t in tables_of(finest)}
    wide = hidden_cells(tables, finest)
    return {tuple(key[places.index(i)] if i in places else None for i in range(len(levels))) for key in wide}


@settings(max_examples=50)
@given(rows=ROWS, finest=FINEST, data=st.data())
def test_what_two_shown_groups_differ_by_is_nobody_or_five_people(
    rows: list[tuple[Any, ...]], finest: tuple[str, ...], data: st.DataObject
):
    rows = shaped(rows, finest)
    hidden = hidden_of(rows, finest)
    chains = levels_of(finest)
    for fine, coarse in product(tables_of(finest), repeat=2):
        if not all(c.index(a) >= c.index(b) for c, a, b in zip(chains, fine, coarse, strict=True)):
            continue
        for group, people in cells(rows, coarse).items():
            if group in hidden[coarse]:
                continue
            assert len(people) >= FEWEST
            inside = [k for k in cells(rows, fine) if coarsened(k, coarse) == group]
            shown = [k for k in inside if k not in hidden[fine]]
            # A filter may take any of the shown cells; an answer that covers a hidden one is null.
            taken = set(data.draw(st.lists(st.sampled_from(shown), unique=True)) if shown else [])
            for chosen in (set(shown), taken):
                rest = [
                    row
                    for row in rows
                    if coarsened(row[:-1], coarse) == group and coarsened(row[:-1], fine) not in chosen
                ]
                assert not rest or len({row[-1] for row in rest}) >= FEWEST


def test_the_smallest_shown_group_goes_with_the_only_hidden_one():
    tables = {(None,): {(None,): 20}, (WHOLE,): {("A",): 3, ("B",): 9, ("C",): 8}}
    assert hidden_cells(tables, [WHOLE]) == {("A",), ("C",)}


def test_groups_that_are_all_big_are_all_shown():
    tables = {(None,): {(None,): 20}, (WHOLE,): {("A",): 5, ("B",): 5}}
    assert hidden_cells(tables, [WHOLE]) == set()


def test_what_lies_in_a_hidden_course_is_hidden_too():
    tables = {
        (None, None): {(None, None): 20},
        (WHOLE, None): {("A", None): 3, ("B", None): 12, ("C", None): 40},
        (None, WHOLE): {(None, "x"): 20, (None, "y"): 20},
        (WHOLE, WHOLE): {("A", "x"): 3, ("B", "x"): 6, ("B", "y"): 6, ("C", "x"): 20, ("C", "y"): 20},
    }
    hidden = hidden_cells(tables, [WHOLE, WHOLE])
    assert {("A", "x"), ("B", "x"), ("B", "y")} <= hidden
