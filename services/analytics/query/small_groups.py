"""Which groups are too small to be shown to those below manager, also by difference of two queries.

A query of theirs sees a table of cells: its dimensions and those it filters by, each as fine as what it is a
property of (a category is a matter of courses), and time in whole years, quarters, months or days. The cells
do not depend on the values of filters. What is hidden of a table depends on the table alone, so two queries
never disagree:

1. a cell of fewer than five people is hidden;
2. what lies in a cell that a coarser table hides is hidden;
3. where a cell is hidden in a total of a coarser table, one that would have been shown is hidden with it, the
   smallest: the hidden ones of a total together are five people or more, or all of it.

A group of the answer that covers a hidden cell is null. So what two shown groups differ by, where one table
is coarser than the other, is nobody or five people or more.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from services.analytics.query.periods import UNITS, start_of

FEWEST = 5
WHOLE = "value"
Levels = tuple[str | None, ...]
"""For each dimension of a table how fine it is: None (not at all), WHOLE, or a unit of time."""
Key = tuple[Any, ...]
Table = Mapping[Key, int]
"""People by cell."""


def levels_of(finest: Sequence[str]) -> list[tuple[str | None, ...]]:
    """For each dimension its levels, from none to the finest."""
    return [(None, WHOLE) if level == WHOLE else (None, *UNITS[: UNITS.index(level) + 1]) for level in finest]


def tables_of(finest: Sequence[str]) -> list[Levels]:
    """The levels of every table that is as coarse or coarser, coarse ones before finer ones."""
    chains = levels_of(finest)
    depth = [{level: place for place, level in enumerate(chain)} for chain in chains]
    return sorted(
        product(*chains),
        key=lambda t: (sum(depth[i][level] for i, level in enumerate(t)), str(t)),
    )


def coarsened(key: Key, to: Levels) -> Key:
    """The cell of a coarser table that a cell lies in."""
    return tuple(_coarser_value(value, level) for value, level in zip(key, to, strict=True))


def _coarser_value(value: Any, level: str | None) -> Any:
    if level is None:
        return None
    return start_of(level, value) if level != WHOLE and value is not None else value


def hidden_cells(tables: Mapping[Levels, Table], finest: Sequence[str]) -> set[Key]:
    """The hidden cells of the finest table, of the people in the cells of it and of all coarser ones."""
    chains = levels_of(finest)
    hidden: dict[Levels, set[Key]] = {}
    for levels in tables_of(finest):
        table = tables.get(levels, {})
        coarser = list(_coarser(levels, chains))[:-1]  # without itself
        found = {key for key, people in table.items() if people < FEWEST}
        for other in coarser:
            found |= {key for key in table if coarsened(key, other) in hidden[other]}
        while _complete(table, found, coarser):
            pass
        hidden[levels] = found
    return hidden[tuple(finest)]


def _coarser(levels: Levels, chains: Sequence[tuple[str | None, ...]]) -> Iterator[Levels]:
    """Every table up to this one."""
    return product(*(chain[: chain.index(level) + 1] for chain, level in zip(chains, levels, strict=True)))


def _complete(table: Table, hidden: set[Key], coarser: Sequence[Levels]) -> bool:
    """Hide one more cell in every total that needs it; False when none did."""
    changed = False
    for other in coarser:
        totals: defaultdict[Key, list[Key]] = defaultdict(list)
        for key in table:
            totals[coarsened(key, other)].append(key)
        for keys in totals.values():
            away = [key for key in keys if key in hidden]
            if not away or any(table[key] >= FEWEST for key in away):
                continue
            shown = [key for key in keys if key not in hidden]
            if shown:
                hidden.add(min(shown, key=lambda key: (table[key], str(key))))
                changed = True
    return changed
