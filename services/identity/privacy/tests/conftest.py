"""Identity with the people of its tests."""

from services.identity.tests.conftest import clock, identity, people

__all__ = ["clock", "identity", "people"]
