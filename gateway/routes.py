"""The route table: which service owns a path, whether it needs a token, which limits apply.

A template is a path of segments: a literal, `{uuid}`, `{any}`, or a final `**` for whatever follows (also
nothing). Literals win over `{uuid}`, `{uuid}` over `{any}`, and the longest match over `**`.
The form without the trailing slash is the same path, and so is one with letters percent-encoded; upstream the
canonical form is asked. Whatever depends on a path (limits, tokens, sizes, cache) stands in its route.
"""

import re
from dataclasses import dataclass
from typing import Literal

from libs.common.runtime.settings import SERVICES

MB = 1024 * 1024
UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\Z")

Auth = Literal["ignore", "optional", "write", "required"]


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table.

    `auth`: `ignore` drops the token (a client with a dead one must be able to log in); `optional` lets
    anonymous calls through; `write` wants a token for all but reads; `required` always. In every case but
    the first a token that is there must be good. `limit`: the class in which its requests are counted by
    network (`limit_<class>` of the settings); None counts users, or networks where nobody is signed in.
    """

    template: str
    service: str
    auth: Auth = "optional"
    body: int | None = None
    """Bytes of a request body; None is `LECTERN_BODY_LIMIT`."""
    deadline: float | None = None
    """Seconds to the first byte of the answer; None is `GATEWAY_ANSWER_TIMEOUT`."""
    socket: bool = False
    limit: str | None = None
    cache: bool = False
    """Whether everybody who is not signed in gets the same answer, so that it may be kept."""
    slash: bool = True
    """Whether the canonical form ends in a slash."""
    keyed: bool = True
    """Whether a write with an `Idempotency-Key` is done once: not where answers hold tokens or secrets."""


ALIASES: tuple[tuple[str, str], ...] = (
    ("/api/courses/courses", "/api/courses"),
    ("/api/core/student-analytics", "/api/core/analytics/student"),
    ("/api/core/teacher-analytics", "/api/core/analytics/teacher"),
    ("/api/core/platform-analytics", "/api/core/analytics/platform"),
)
"""Second names of path prefixes (api.md §1) and the canonical one that services serve."""

UPLOAD = 128 * MB
LIBRARY = 512 * MB

ROUTES: tuple[Route, ...] = (
    # identity
    *(
        Route(f"/api/accounts/{name}/", "identity", "ignore", limit="credentials")
        for name in (
            "register", "verify-email", "resend-verification", "login", "password-reset",
            "password-reset-confirm",
        )
    ),
    # Nobody can guess 256 bits, and a whole school refreshes from one address.
    Route("/api/accounts/refresh/", "identity", "ignore", limit="refresh"),
    Route("/api/accounts/logout/", "identity", "required", keyed=False),
    Route("/api/accounts/change-password/", "identity", "required", keyed=False),
    Route("/api/accounts/users/me/avatar/", "identity", "required", body=8 * MB),
    Route("/api/accounts/users/me/mfa/**", "identity", "required", keyed=False),
    Route("/api/accounts/users/me/**", "identity", "required"),
    Route("/api/accounts/users/", "identity", "required"),
    Route("/api/accounts/users/{uuid}/", "identity", "write"),
    # A bare id says nothing of its owner, so the bare form belongs to identity (export, erasure). Jobs of
    # another service live at `/api/jobs/<service>/{uuid}/`.
    Route("/api/jobs/{uuid}/", "identity", "required"),
    Route("/.well-known/jwks.json", "identity", "ignore", slash=False),
    # catalog
    Route("/api/courses/", "catalog", "write", cache=True),
    Route("/api/courses/teacher/", "catalog", "required"),
    Route("/api/courses/favorites/", "catalog", "required"),
    Route("/api/courses/{uuid}/lessons/", "catalog", "write", cache=True, body=LIBRARY, deadline=120),
    Route("/api/courses/{uuid}/lessons/{uuid}/", "catalog", "write", cache=True, body=LIBRARY, deadline=120),
    Route("/api/courses/{uuid}/lessons/{uuid}/upload/", "catalog", "required", body=LIBRARY, deadline=120),
    Route("/api/courses/{uuid}/upload-image/", "catalog", "required", body=16 * MB, deadline=60),
    Route("/api/courses/{uuid}/is-favorite/", "catalog", "required"),
    Route("/api/courses/**", "catalog", "write", cache=True),
    Route("/api/modules/**", "catalog", "write", cache=True),
    Route("/api/reviews/**", "catalog", "write", cache=True),
    Route("/api/categories/**", "catalog", "write", cache=True),
    Route("/api/tags/**", "catalog", "write", cache=True),
    Route("/api/core/media/", "catalog", "required", body=LIBRARY, deadline=120),
    Route("/api/core/media/{uuid}/file/", "catalog", "required", body=LIBRARY, deadline=120),
    Route("/api/core/media/uploads/{uuid}/", "catalog", "required", body=65 * MB, deadline=120),
    Route("/api/core/media/uploads/{uuid}/finish/", "catalog", "required", deadline=120),
    Route("/api/core/media/**", "catalog", "required"),
    # learning
    Route("/api/courses/teacher/students/", "learning", "required"),
    Route("/api/courses/{uuid}/enroll/", "learning", "required"),
    Route("/api/courses/{uuid}/unenroll/", "learning", "required"),
    Route("/api/courses/{uuid}/lessons/{uuid}/complete/", "learning", "required"),
    Route("/api/courses/{uuid}/lessons/{uuid}/progress/", "learning", "required"),
    Route("/api/courses/{uuid}/lessons/{uuid}/notes/", "learning", "required"),
    Route("/api/courses/{uuid}/gradebook/import/", "learning", "required", body=16 * MB, deadline=60),
    Route("/api/courses/{uuid}/gradebook/**", "learning", "required", deadline=60),
    Route("/api/courses/{uuid}/grades/**", "learning", "required"),
    Route("/api/courses/{uuid}/grading-policy/", "learning", "required"),
    Route("/api/courses/{uuid}/completion-rules/", "learning", "required"),
    Route("/api/courses/{uuid}/certificate-template/**", "learning", "required", body=4 * MB, deadline=60),
    Route("/api/enrollments/**", "learning", "required"),
    Route("/api/quizzes/**", "learning", "required"),
    Route("/api/attempts/**", "learning", "required"),
    Route("/api/question-banks/**", "learning", "required"),
    Route("/api/assignments/{uuid}/submissions/", "learning", "required", body=UPLOAD, deadline=120),
    Route("/api/assignments/**", "learning", "required"),
    Route("/api/submissions/{uuid}/", "learning", "required", body=UPLOAD, deadline=120),
    Route("/api/submissions/**", "learning", "required", deadline=60),
    Route("/api/certificates/{any}/verify/", "learning"),
    Route("/api/certificates/{any}/download/", "learning", deadline=60),
    Route("/api/certificates/**", "learning", "required"),
    Route("/api/learning/**", "learning", "required"),
    # forum
    Route("/api/core/forums/**", "forum", "required"),
    Route("/api/core/discussions/**", "forum", "required"),
    Route("/api/core/replies/**", "forum", "required"),
    Route("/api/core/moderation/**", "forum", "required"),
    Route("/ws/chat/{uuid}/", "forum", socket=True),
    # notify
    Route("/api/core/notifications/**", "notify", "required"),
    Route("/api/ws-ticket/", "notify", "required", keyed=False),
    Route("/ws/notifications/", "notify", socket=True),
    # support
    Route("/api/status/history/", "support", "ignore"),
    Route("/api/core/support-tickets/**", "support", "required", body=32 * MB, deadline=60),
    # analytics
    Route("/api/core/dashboard/**", "analytics", "required"),
    Route("/api/core/analytics/**", "analytics", "required"),
    Route("/api/core/activities/**", "analytics", "required"),
    Route("/api/analytics/query/", "analytics", "required", keyed=False),
    Route("/api/analytics/**", "analytics", "required"),
    Route("/api/jobs/analytics/{uuid}/", "analytics", "required"),
    Route("/api/courses/{uuid}/analytics/", "analytics", "required"),
    # operators
    *(Route(f"/api/ops/{service}/**", service, "required", deadline=60) for service in SERVICES),
    # files behind signed or public URLs
    *(
        Route(f"/media/{service}/**", service, deadline=60, limit="media", slash=False)
        for service in ("identity", "catalog", "learning", "analytics")
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Match:
    """A route, and the path to ask its service for."""

    route: Route
    path: str


class _Node:
    __slots__ = ("anything", "literals", "route", "tail", "uuid")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.uuid: _Node | None = None
        self.anything: _Node | None = None
        self.route: Route | None = None
        self.tail: Route | None = None


class UnsafePath(ValueError):
    """A path that gateway and service might read differently."""


_UNSAFE = re.compile(
    r"//|/\.{1,2}(?=/|\Z)|[\\\x00-\x20\x7f]|%(?:2[eEfF]|5[cC]|[01][0-9a-fA-F]|7[fF])|%(?![0-9a-fA-F]{2})"
)
_ENCODED = re.compile(r"%[0-9a-fA-F]{2}")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~")


def _spelled(encoded: re.Match[str]) -> str:
    """A percent-encoded byte in the one form that it has (RFC 3986 §6.2.2)."""
    char = chr(int(encoded[0][1:], 16))
    return char if char in _UNRESERVED else encoded[0].upper()


class RouteTable:
    """Finds the route of a path, with a bounded memory of paths."""

    def __init__(
        self, routes: tuple[Route, ...] = ROUTES, aliases: tuple[tuple[str, str], ...] = ALIASES
    ) -> None:
        self._root = _Node()
        self._aliases = aliases
        self._found: dict[str, Match | None] = {}
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._root
        segments = route.template.strip("/").split("/")
        tail = segments[-1] == "**"
        for segment in segments[:-1] if tail else segments:
            if segment == "{uuid}":
                node.uuid = node = node.uuid or _Node()
            elif segment == "{any}":
                node.anything = node = node.anything or _Node()
            else:
                node = node.literals.setdefault(segment, _Node())
        if (node.tail if tail else node.route) is not None:
            raise ValueError(f"{route.template} is in the table twice")
        if tail:
            node.tail = route
        else:
            node.route = route

    def match(self, path: str) -> Match | None:
        """The route of a path without its query, or None. Raises `UnsafePath`."""
        try:
            return self._found[path]
        except KeyError:
            pass
        found = self._match(path)
        if len(path) <= 256:
            if len(self._found) >= 8192:
                self._found.clear()
            self._found[path] = found
        return found

    def _match(self, path: str) -> Match | None:
        if not path.startswith("/") or _UNSAFE.search(path) or not path.isascii():
            raise UnsafePath
        if "%" in path:  # a service reads %6c as l, so it is l here too
            path = _ENCODED.sub(_spelled, path)
        for alias, canonical in self._aliases:
            if path.startswith(alias) and path[len(alias) : len(alias) + 1] in ("", "/"):
                path = canonical + path[len(alias) :]
                break
        segments = path.strip("/").split("/")
        route = self._walk(self._root, segments, 0)
        if route is None:
            return None
        bare = path.rstrip("/")
        return Match(route, f"{bare}/" if route.slash else path)

    def _walk(self, node: _Node, segments: list[str], at: int) -> Route | None:
        if at == len(segments):
            return node.route or node.tail
        segment = segments[at]
        for child in (
            node.literals.get(segment),
            node.uuid if UUID.match(segment) else None,
            node.anything,
        ):
            route = self._walk(child, segments, at + 1) if child is not None else None
            if route is not None:
                return route
        return node.tail
