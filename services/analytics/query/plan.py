"""What a query asks for, in terms of the dictionary: every member found, every rule of shape kept."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches

from libs.common.runtime.errors import InvalidInput, Unprocessable
from services.analytics.dictionary import (
    TIME,
    Dictionary,
    Dimension,
    Measure,
    dictionary,
    dimensions,
    measures,
)
from services.analytics.query.conditions import BadFilter, Condition, Either, Tree, condition
from services.analytics.query.errors import MembersNotShared, UnknownMember
from services.analytics.query.periods import BadRange, days_of
from services.analytics.query.schemas import (
    MOST_FILTERS,
    Direction,
    Filter,
    FilterGroup,
    InnerFilterGroup,
    QueryRequest,
)

Fault = dict[str, str]


@dataclass(frozen=True)
class Grouping:
    """What rows are told apart by; `key` is its name in the answer."""

    key: str
    member: str
    granularity: str | None = None


@dataclass(frozen=True)
class Asked:
    """A measure of the query; one that only a filter names is not shown."""

    name: str
    dataset: str
    measure: Measure
    shown: bool = True


@dataclass(frozen=True)
class Plan:
    facts: tuple[str, ...]
    groups: tuple[Grouping, ...]
    measures: tuple[Asked, ...]
    where: Either
    having: Either
    order: tuple[tuple[str, Direction], ...]
    """Keys of the answer."""
    limit: int
    offset: int
    zone: str

    def members(self) -> set[str]:
        """Every dimension that it groups or filters by."""
        return {group.member for group in self.groups} | {c.member for c in conditions(self.where)}


def conditions(tree: Tree) -> Iterator[Condition]:
    if isinstance(tree, Condition):
        yield tree
    else:
        for part in tree.parts:
            yield from conditions(part)


def type_of(member: str) -> str:
    """Of a dimension or a measure."""
    if member == TIME:
        return "time"
    found = dimensions().get(member)
    return found.type if found else measures()[member][1].type


@dataclass
class _Planner:
    asked: QueryRequest
    today: date
    known: Dictionary = field(default_factory=dictionary)
    faults: list[Fault] = field(default_factory=list)
    unknown: list[Fault] = field(default_factory=list)
    where: list[Tree] = field(default_factory=list)
    having: list[Tree] = field(default_factory=list)

    def fault(self, place: str, message: str) -> None:
        self.faults.append({"field": place, "message": message})

    def find(self, place: str, name: str, kinds: str) -> str | None:
        """`measure` or `dimension`; None with a fault that names near ones. `kinds` says which are wanted."""
        if name in measures():
            kind = "measure"
        elif name == TIME or name in dimensions():
            kind = "dimension"
        else:
            names = [*measures(), TIME, *dimensions()]
            near = get_close_matches(name, names, n=3, cutoff=0.6)
            near = near or [n for n in names if n.rpartition(".")[2] == name.rpartition(".")[2]][:3]
            hint = f"; near: {', '.join(near)}" if near else ""
            self.unknown.append({"field": place, "message": f"there is no member {name[:130]}{hint}"})
            return None
        if kind not in kinds:
            self.fault(place, f"{name} is a {kind}, not a {kinds}")
            return None
        return kind

    def groups(self) -> list[Grouping]:
        found = []
        for number, name in enumerate(self.asked.dimensions):
            if self.find(f"dimensions.{number}", name, "dimension"):
                if name == TIME:
                    self.fault(f"dimensions.{number}", f"{TIME} goes to timeDimensions, with a granularity")
                found.append(Grouping(name, name))
        for number, entry in enumerate(self.asked.timeDimensions):
            place = f"timeDimensions.{number}"
            name = entry.dimension
            if not self.find(f"{place}.dimension", name, "dimension"):
                continue
            if type_of(name) not in ("time", "date"):
                self.fault(f"{place}.dimension", f"{name} is a {type_of(name)}, not a time")
                continue
            if entry.granularity:
                found.append(Grouping(f"{name}.{entry.granularity}", name, entry.granularity))
            if entry.dateRange is not None:
                days = [entry.dateRange] if isinstance(entry.dateRange, str) else entry.dateRange
                try:
                    self.where.append(Condition(name, "inDateRange", days_of(days, self.today)))
                except BadRange as error:
                    self.fault(f"{place}.dateRange", str(error))
        for number, group in enumerate(found):
            if group in found[:number]:
                self.fault("dimensions", f"{group.key} is there twice")
        return found

    def filters(self) -> None:
        count = 0
        for number, given in enumerate(self.asked.filters):
            count += sum(1 for _ in _leaves(given))
            kinds = {
                kind
                for place, leaf in _places(given, f"filters.{number}")
                if (kind := self.find(f"{place}.member", leaf.member, "measure or dimension"))
            }
            if len(kinds) > 1:
                self.fault(f"filters.{number}", "mixes measures and dimensions in one group")
            tree = self.tree(given, f"filters.{number}")
            (self.having if kinds == {"measure"} else self.where).append(tree)
        if count > MOST_FILTERS:
            self.fault("filters", f"has {count} filters; {MOST_FILTERS} is the most")

    def tree(self, given: Filter | FilterGroup | InnerFilterGroup, place: str) -> Tree:
        if isinstance(given, Filter):
            if given.member not in measures() and given.member != TIME and given.member not in dimensions():
                return Either(True, ())
            try:
                return condition(given, type_of(given.member), self.today)
            except BadFilter as error:
                self.fault(f"{place}.values", f"{given.member}: {error}")
                return Either(True, ())
        every = "all_of" in given.model_fields_set
        parts = given.all_of if every else given.any_of
        name = "and" if every else "or"
        return Either(every, tuple(self.tree(part, f"{place}.{name}.{n}") for n, part in enumerate(parts)))

    def measures(self) -> list[Asked]:
        names: dict[str, bool] = {}
        for number, name in enumerate(self.asked.measures):
            if self.find(f"measures.{number}", name, "measure"):
                if name in names:
                    self.fault(f"measures.{number}", f"{name} is there twice")
                names[name] = True
        for tree in self.having:
            for part in conditions(tree):
                names.setdefault(part.member, False)
        return [Asked(name, *measures()[name], shown) for name, shown in names.items()]

    def order(self, groups: list[Grouping], asked: list[Asked]) -> list[tuple[str, Direction]]:
        by = self.asked.order
        given = list(by.items()) if isinstance(by, dict) else list(by)
        keys = {group.member: group.key for group in reversed(groups)} | {g.key: g.key for g in groups}
        keys |= {one.name: one.name for one in asked if one.shown}
        found: list[tuple[str, Direction]] = []
        for name, direction in given:
            if name in keys:
                found.append((keys[name], direction))
            else:
                self.fault("order", f"{name} is no member of this query")
        if not given:
            timed = [g for g in groups if g.granularity]
            shown = [one for one in asked if one.shown]
            if timed:
                found = [(timed[0].key, "asc")]
            elif shown and groups:
                found = [(shown[0].name, "desc")]
        rest = [group.key for group in groups if group.key not in dict(found)]
        return found + [(key, "asc") for key in rest]

    def facts(self, groups: list[Grouping], asked: list[Asked]) -> tuple[str, ...]:
        """The datasets whose rows are counted; without measures, the one that the dimensions are of."""
        if asked:
            return tuple(dict.fromkeys(one.dataset for one in asked))
        if not groups:
            raise InvalidInput(
                [{"field": "measures", "message": "a query asks for a measure or a dimension"}]
            )
        of = {group.member.partition(".")[0] for group in groups} - {"time"}
        able = [name for name in of if of <= set(self.known.reach(name))]
        if not able:
            raise MembersNotShared.field("measures", "these dimensions meet in no dataset: ask for a measure")
        return (able[0],)


def _leaves(given: Filter | FilterGroup | InnerFilterGroup) -> Iterator[Filter]:
    return (leaf for _, leaf in _places(given, ""))


def _places(given: Filter | FilterGroup | InnerFilterGroup, place: str) -> Iterator[tuple[str, Filter]]:
    if isinstance(given, Filter):
        yield place, given
        return
    for name, parts in (("and", given.all_of), ("or", given.any_of)):
        for number, part in enumerate(parts):
            yield from _places(part, f"{place}.{name}.{number}")


def make_plan(asked: QueryRequest, today: date) -> Plan:
    """Raises UnknownMember, MembersNotShared and Unprocessable, each with every member that it is about."""
    planner = _Planner(asked, today)
    groups = planner.groups()
    planner.filters()
    found = planner.measures()
    order = planner.order(groups, found)
    if planner.unknown:
        raise UnknownMember(_said(planner.unknown), errors=planner.unknown)
    if planner.faults:
        raise InvalidInput(planner.faults)
    facts = planner.facts(groups, found)
    plan = Plan(
        facts, tuple(groups), tuple(found), Either(True, tuple(planner.where)),
        Either(True, tuple(planner.having)), tuple(order), asked.limit, asked.offset, asked.timezone,
    )  # fmt: skip
    _check_shared(plan)
    return plan


def _said(errors: list[Fault]) -> str:
    return "; ".join(f"{error['field']}: {error['message']}" for error in errors[:3])


def _check_shared(plan: Plan) -> None:
    """Every dimension must be one of every fact: else rows would be multiplied, or left out unsaid."""
    known = dictionary()
    errors: list[Fault] = []
    hours = {group.member for group in plan.groups if group.granularity == "hour"}
    for member in sorted(plan.members()):
        for fact in plan.facts:
            names = ", ".join(one.name for one in plan.measures if one.dataset == fact) or fact
            if member == TIME:
                if known.datasets[fact].time is None:
                    errors.append({"field": member, "message": f"{names} has no time"})
            elif dimensions()[member].dataset not in known.reach(fact):
                errors.append({"field": member, "message": f"{member} is no dimension of {names}"})
    if errors:
        raise MembersNotShared(_said(errors), errors=errors)
    for member in sorted(hours):
        for fact in plan.facts:
            if time_type(fact, member) == "date":
                raise Unprocessable.field("timeDimensions", f"{member} of {fact} has days and no hours")


def time_type(fact: str, member: str) -> str:
    """`time` or `date`: what a time dimension is in a fact."""
    if member != TIME:
        return dimensions()[member].type
    body = dictionary().datasets[fact]
    return body.columns[body.time or ""].type


def column_of(fact: str, member: str) -> Dimension:
    """The dimension that a member is in a fact."""
    if member != TIME:
        return dimensions()[member]
    body = dictionary().datasets[fact]
    name = body.time or ""
    return Dimension(f"{fact}.{name}", fact, name, body.columns[name])
