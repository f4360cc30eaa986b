"""SHA-256 of files that come in parts, taken as the parts come, so that no file is read back for it."""

import hashlib
from collections import OrderedDict
from uuid import UUID

MOST_KNOWN = 10_000


class RunningHashes:
    """By upload, the hash of what has come, in the memory of this process.

    Of an upload that went on in another process, or that is not among the last 10,000, nothing is known.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[UUID, tuple[int, hashlib._Hash]] = OrderedDict()

    def at(self, upload: UUID, offset: int) -> "hashlib._Hash | None":
        """A hash that has taken in the first `offset` bytes, to go on with; None where it is not known."""
        if offset == 0:
            return hashlib.sha256()
        reached, digest = self._known.get(upload, (0, None))
        return digest.copy() if digest is not None and reached == offset else None

    def note(self, upload: UUID, offset: int, digest: "hashlib._Hash") -> None:
        """`digest` has taken in the first `offset` bytes."""
        self._known[upload] = (offset, digest)
        self._known.move_to_end(upload)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
