"""A row of the access matrix: who may call an operation, and how it is called.

A row's eight statuses belong to `world.ROLES`: anonymous, another student, another teacher, moderator,
manager, admin, the owner, and the member. The owner is whose thing it is: the course's teacher, or for rows
with `learner` the enrolled student. The member is the other one of the two. `2xx` must be a success.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.security.world import World
from tests.support import Json

EVERYBODY = "2xx 2xx 2xx 2xx 2xx 2xx 2xx 2xx"
SIGNED_IN = "401 2xx 2xx 2xx 2xx 2xx 2xx 2xx"
TEACHERS = "401 403 2xx 2xx 2xx 2xx 2xx 403"
NOT_ENABLED = "401 409 409 409 409 409 409 409"
WRONG_CODE = "422 422 422 422 422 422 422 422"
MANAGERS = "401 403 403 403 2xx 2xx 403 403"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)

Body = dict[str, Any] | Callable[[World, Any], Any] | None


@dataclass(frozen=True)
class Row:
    """`make` gives the thing, `path` its ids for the template's placeholders, `body` what is sent
    (or `files`, or `raw`: options of the request as they are).

    `before` is done as the caller; after a success with `login_again` the caller's session is a new one.
    """

    statuses: str
    make: Any = None
    path: Callable[[Any], tuple[str, ...]] = field(default=lambda thing: (thing["uuid"],))
    body: Body = None
    files: Any = None
    raw: Json | None = None
    query: str | Callable[[Any], str] = ""
    learner: bool = False
    login_again: bool = False
    before: Any = None


def in_course(thing: Any) -> tuple[str, str]:
    return thing["uuid"], thing["lesson"]


def of_module(thing: Any) -> tuple[str]:
    return (thing["module"],)


def with_logo(thing: Any) -> tuple[str, str]:
    return thing["uuid"], "logo"


def nobody(thing: Any) -> tuple[()]:
    return ()


COURSE = {"title": "A new course", "description": "A description that says in fifty letters what is taught."}
OWN_COURSE = "401 404 404 404 2xx 2xx 2xx 404"  # drafts are hidden from others
SEEN_COURSE = "401 403 403 403 2xx 2xx 2xx 403"  # published ones can be seen, not changed
OWN_MEDIA = "401 403 404 404 2xx 2xx 2xx 403"  # other teachers do not see it
OWN_UPLOAD = "401 403 404 404 404 404 2xx 403"  # nobody else goes on with it
TAUGHT = "401 403 404 404 2xx 2xx 2xx 403"
LEARNERS_OWN = "401 404 404 404 2xx 2xx 2xx 2xx"
