"""A balance holds while keys move on, and only then."""

import pytest

from libs.common.bus.audit import Balance, _weigh


@pytest.mark.parametrize(
    ("before", "applied", "after", "holds"),
    [
        (4, 4, 4, True),
        (4, 7, 9, True),  # published and applied between the two readings
        (4, 3, 9, False),  # it lags behind what was there at first
        (4, 5, 4, False),  # nobody has published that
        (None, 2, 3, True),  # new since then
        (None, 0, 3, True),
        (4, 0, None, True),  # deleted since then
    ],
)
@pytest.mark.parametrize("topic", ["toys.events", "toys"])
def test_keys_may_move_on_while_they_are_counted(
    topic: str, before: int | None, applied: int, after: int | None, holds: bool
) -> None:
    balance = Balance("reader", topic)
    first = {} if before is None else {"k": before}
    last = {} if after is None else {"k": after}
    _weigh(balance, first, last, {"k": applied} if applied else {}, {})
    assert balance.balanced is holds


@pytest.mark.parametrize(
    ("topic", "held", "holds"), [("toys.events", 2, True), ("toys.events", 1, False), ("toys", 1, True)]
)
def test_parked_events_are_in_the_balance(topic: str, held: int, holds: bool) -> None:
    balance = Balance("reader", topic)
    _weigh(balance, {"k": 5}, {"k": 5}, {"k": 3}, {"k": held})
    assert balance.balanced is holds
