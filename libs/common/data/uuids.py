"""Public ids are of version 4 everywhere: clients validate it."""

from uuid import UUID

import uuid_utils

VERSION = 0xF << 76


def ordered() -> UUID:
    """A new id that sorts by its time, so that an index grows at its end: version 7 with another number."""
    return as_v4(UUID(bytes=uuid_utils.uuid7().bytes))


def as_v4(uuid: UUID) -> UUID:
    """The public form of an id of another version: always the same one, and of version 4."""
    return UUID(int=uuid.int & ~VERSION | 4 << 76)
