"""Caps on open connections, in all and from one machine, so that nobody takes those of others.

The peers of proxies that are trusted are not told apart here; requests of theirs are limited like all others.
"""

from gateway import problems
from gateway.addresses import Address
from gateway.problems import Problem

MOST_LINGERING = 256
"""Refused connections that may stay to read why; more are cut off without a word."""


class Connections:
    """Counts open connections, those that became sockets too."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._of: dict[str, int] = {}
        self.open = 0
        self.lingering = 0
        self.refused = 0

    def enter(self, address: Address, proxy: bool) -> Problem | None:
        """Count a new connection. Returns a problem, and does not count it, if it is one too many."""
        if self.open >= self._most:
            self.refused += 1
            return problems.FULL
        if not proxy:
            count = self._of.get(address.host, 0)
            if count >= self._most_of_one:
                self.refused += 1
                return problems.TOO_MANY_CONNECTIONS
            self._of[address.host] = count + 1
        self.open += 1
        return None

    def leave(self, address: Address, proxy: bool) -> None:
        self.open -= 1
        if not proxy:
            left = self._of[address.host] - 1
            if left:
                self._of[address.host] = left
            else:
                del self._of[address.host]
