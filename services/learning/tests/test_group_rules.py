"""What a grade says of each of its groups, and that extra credit counts when items are dropped."""

from decimal import Decimal
from fractions import Fraction
from uuid import uuid4

from services.learning.gradebook.rules import Grade, Group, Item, ItemGrade, Policy, grade, rounded

ONE, TWO = uuid4(), uuid4()


def graded(earned: int, points: int, group=None, *, extra: bool = False) -> ItemGrade:
    return ItemGrade(
        Item(uuid4(), "Essay", Decimal(points), group, extra_credit=extra), "graded", Fraction(earned)
    )


def test_without_groups_all_are_one():
    items = [graded(5, 10), graded(1, 5, extra=True)]
    result = grade(Policy(), items, "final")
    [whole] = result.groups
    assert whole.group == Group(None, "All", Decimal(1))
    assert (whole.counted, whole.dropped) == (tuple(items), ())
    assert [whole.earned, whole.possible, whole.percentage, whole.share] == [6, 10, 60, 1]
    assert result.percentage == 60


def test_a_grade_names_its_groups_also_where_nothing_counts():
    group = Group(ONE, "Essays", Decimal(40))
    empty = grade(Policy(groups=(group,)), [], "final")
    assert (empty.percentage, [each.group for each in empty.groups]) == (None, [group])
    assert [empty.groups[0].earned, empty.groups[0].possible, empty.groups[0].share] == [0, 0, 0]
    assert Grade(None).groups == ()


def test_groups_carry_what_was_earned_of_what_was_possible():
    essays, labs = Group(ONE, "Essays", Decimal(40)), Group(TWO, "Labs", Decimal(60))
    result = grade(
        Policy(groups=(essays, labs)), [graded(5, 10, ONE), graded(3, 4, TWO), graded(9, 9)], "final"
    )
    assert [each.group for each in result.groups] == [essays, labs]
    assert [each.earned for each in result.groups] == [5, 3]
    assert [each.possible for each in result.groups] == [10, 4]
    assert [each.share for each in result.groups] == [Fraction(2, 5), Fraction(3, 5)]
    assert result.percentage == 65


def test_extra_credit_decides_with_what_is_dropped():
    """Ninety of a hundred is better than eight of ten, but with five more on top it is not."""
    many, few, extra = graded(90, 100, ONE), graded(8, 10, ONE), graded(5, 5, ONE, extra=True)
    for drops, bonus, dropped in (
        ({"drop_lowest": 1}, (), few),
        ({"drop_lowest": 1}, (extra,), many),
        ({"drop_highest": 1}, (), many),
        ({"drop_highest": 1}, (extra,), few),
    ):
        group = Group(ONE, "Essays", Decimal(1), **drops)
        [found] = grade(Policy(groups=(group,)), [many, few, *bonus], "final").groups
        assert found.dropped == (dropped,), (drops, bonus)


def test_the_best_is_kept_by_all_points_together():
    """Whatever their order: a large item may weigh down, and a small one be worth more than its points."""
    large, good, fair = graded(50, 100, ONE), graded(8, 10, ONE), graded(7, 10, ONE)
    perfect, long = graded(1, 1, ONE), graded(19, 20, ONE)
    for items, drops, dropped in (
        ([large, good, fair], {"drop_lowest": 1}, (large,)),
        ([good, fair, large], {"drop_lowest": 1}, (large,)),
        ([long, perfect], {"drop_lowest": 1}, (long,)),
        ([perfect, long], {"drop_highest": 1}, (perfect,)),
        ([perfect, long], {"drop_highest": 5}, (perfect,)),
        ([perfect, long], {"drop_lowest": 5}, (long,)),
    ):
        group = Group(ONE, "Essays", Decimal(1), **drops)
        [found] = grade(Policy(groups=(group,)), items, "final").groups
        assert found.dropped == dropped, (items, drops)


def test_what_is_worth_nothing_is_never_dropped_nor_counted():
    group = Group(ONE, "Essays", Decimal(1), drop_lowest=1)
    real, worthless = graded(5, 10, ONE), graded(0, 0, ONE)
    [found] = grade(Policy(groups=(group,)), [real, worthless], "final").groups
    assert (found.counted, found.dropped) == ((real,), ())
    assert found.percentage == 50


def test_what_is_below_zero_is_rounded_away_from_it():
    assert rounded(Fraction(-1, 200)) == Decimal("-0.01")
    assert rounded(Fraction(-1, 3)) == Decimal("-0.33")
    assert rounded(Fraction(0)) == 0
