"""Read your writes without the front end's help: each session's last `Consistency-Token`s, for 10 s.

The services seal what they answer (libs/common/web/consistency.py), and only they look at the seals. Here
it is enough to know which of two tokens is the later one of the same thing.
"""

from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

MOST_KEYS = 16
MOST_SESSIONS = 20_000
MOST_GIVEN = 32


Sealed = tuple[int, str]
"""A sequence number, and its seal."""


def parse(token: str) -> dict[str, Sealed]:
    """Parse `topic:key:seq:seal, …`: the latest by `topic:key`; ignore malformed parts."""
    found: dict[str, Sealed] = {}
    for part in token.split(",", MOST_GIVEN)[:MOST_GIVEN]:
        place, _, seal = part.strip().rpartition(":")
        name, _, seq = place.rpartition(":")
        if ":" in name and seal and seq.isascii() and seq.isdigit() and len(seq) < 19:
            found[name] = max(found.get(name, (0, "")), (int(seq), seal))
    return found


def render(tokens: dict[str, Sealed]) -> str:
    return ",".join(f"{name}:{seq}:{seal}" for name, (seq, seal) in tokens.items())


class ConsistencyMemory:
    """Tokens of sessions that wrote lately, bounded to 16 keys a session and 20,000 sessions."""

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._seconds = seconds
        self._now = now
        self._sessions: OrderedDict[UUID, dict[str, tuple[Sealed, float]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def remember(self, session: UUID, token: str) -> None:
        """Remember the token that a write of this session answered."""
        until = self._now() + self._seconds
        known = self._sessions.pop(session, {})
        for name, sealed in parse(token).items():
            before = known.pop(name, ((0, ""), 0.0))[0]
            known[name] = (max(before, sealed), until)
        while len(known) > MOST_KEYS:
            del known[next(iter(known))]
        self._sessions[session] = known
        if len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)

    def add(self, session: UUID, given: bytes | None) -> bytes | None:
        """The token for a request: for each key the later of the remembered and the client's own."""
        known = self._sessions.get(session) if self._sessions else None
        if known is None:
            return given
        now = self._now()
        alive = {name: sealed for name, (sealed, until) in known.items() if until > now}
        if not alive:
            del self._sessions[session]
            return given
        if given:
            for name, sealed in parse(given.decode("latin-1")).items():
                if name not in alive or sealed[0] > alive[name][0]:
                    alive[name] = sealed
        return render(alive).encode("latin-1")
