"""What those below manager may ask: own courses, whatever a query says, and nothing of single people."""

from collections.abc import Iterable
from uuid import UUID

from libs.common.runtime.errors import Unprocessable
from libs.common.security.auth import at_least
from libs.common.security.tokens import Principal
from services.analytics.dictionary import TIME, dictionary, dimensions
from services.analytics.query.errors import MembersForbidden
from services.analytics.query.periods import UNITS, made_of
from services.analytics.query.plan import Fault, Plan, conditions, type_of
from services.analytics.query.small_groups import WHOLE, tables_of
from services.analytics.query.statement import CellDimension

MOST_TABLES = 80


def restricted_to(who: Principal, plan: Plan) -> UUID | None:
    """Whose courses a plan is held to; None for managers, who see all. Raises MembersForbidden."""
    if at_least(who, "manager"):
        return None
    errors = [*_facts(plan), *_members(plan)]
    if errors:
        raise MembersForbidden(errors)
    return who.user


def _facts(plan: Plan) -> Iterable[Fault]:
    datasets = dictionary().datasets
    if not plan.measures:
        yield {"field": "measures", "message": "below manager a query asks for a measure"}
    for one in plan.measures:
        if datasets[one.dataset].audience == "manager":
            yield {"field": one.name, "message": f"{one.name} is of no course, and so for managers"}


def _members(plan: Plan) -> Iterable[Fault]:
    datasets = dictionary().datasets
    for member in sorted(plan.members() - {TIME}):
        dimension = dimensions()[member]
        if dimension.of.personal or datasets[dimension.dataset].audience == "manager":
            yield {"field": member, "message": f"{member} tells of single people, and is for managers"}
    for group in plan.groups:
        timed = type_of(group.member) in ("time", "date")
        if group.granularity == "hour" or (timed and group.granularity is None):
            yield {"field": group.member, "message": "below manager, days are the shortest time to group by"}


def cells_of(plan: Plan, fact: str) -> list[CellDimension]:
    """The table of cells that a plan sees of a fact (`small_groups`). Raises Unprocessable for too many."""
    found: dict[str, str] = {}
    reach = dictionary().reach(fact)
    for member in sorted(plan.members()):
        dimension = dimensions().get(member)
        if dimension and (dimension.of.within or dimension.type not in ("time", "date")):
            column = dimension.of.within or dimension.column
            atom = f"{dimension.dataset}.{column}"
            found[atom] = WHOLE
            if whole := dimensions()[atom].of.part_of:
                found[f"{dimension.dataset}.{whole}"] = WHOLE
            # What has an id belongs to one course, so its cells are parts of the course's.
            if dimensions()[atom].type == "uuid" and "courses" in reach:
                found["courses.uuid"] = WHOLE
        else:
            found[member] = _level(plan, member)
    if len(tables_of(list(found.values()))) > MOST_TABLES:
        raise Unprocessable.field(
            "dimensions", "below manager, ask for fewer dimensions and filters at once, or for longer periods"
        )
    return [CellDimension(member, level) for member, level in found.items()]


def _level(plan: Plan, member: str) -> str:
    """How fine time has to be cut, so that every group and range is made of whole pieces."""
    wanted = ["year"]
    for group in plan.groups:
        if group.member == member and group.granularity:
            wanted.append("day" if group.granularity == "week" else group.granularity)
    for condition in conditions(plan.where):
        if condition.member == member and condition.operator == "inDateRange":
            wanted.append(
                next(unit for unit in UNITS if made_of(condition.values[0], condition.values[1], unit))
            )
        elif condition.member == member and condition.values:
            wanted.append("day")
    return max(wanted, key=UNITS.index)
