"""What analytics refuses of a query, by name."""

from collections.abc import Mapping, Sequence

from libs.common.runtime.errors import Forbidden, Unprocessable, of_fields


class UnknownMember(Unprocessable):
    code = "unknown_member"
    detail = "The dictionary has no such measure or dimension."


class MembersNotShared(Unprocessable):
    code = "members_not_shared"
    detail = "A measure cannot be asked for by this dimension: nothing is multiplied to make it fit."


class QueryTooExpensive(Unprocessable):
    code = "query_too_expensive"
    detail = "The query takes longer than five seconds: ask for a shorter period or fewer groups."


class MembersForbidden(Forbidden):
    """A member that those below manager may not ask for."""

    code = "members_forbidden"
    detail = "Below manager, queries see what belongs to own courses, and nothing of single people."

    def __init__(self, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(of_fields(errors) if errors else None, errors=errors)
