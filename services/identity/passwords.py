"""Argon2id in a bounded thread pool: a flood of logins must not stall the event loop or fill the memory."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

# OWASP's second recommended setting: m = 19 MiB, t = 2, p = 1.
HASHER = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1),))

# What is refused: the first 3,000 of at least 8 characters in each of two public frequency lists, lower case.
# Sources: `common-passwords.txt` of Django 5.2 (BSD) and the list `passwords` of zxcvbn 4.5 (MIT).
COMMON = frozenset(files(__package__).joinpath("common_passwords.txt").read_text("ascii").split("\n")) - {""}


@cache
def dummy_hash() -> str:
    """What an unknown user's password is compared with, so that the answer takes as long."""
    return HASHER.hash("nobody has this password")


class Passwords:
    """Hashes and verifies, a few at a time."""

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="argon2")

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._pool, HASHER.hash, password)

    async def verify(self, password: str, known: str | None) -> tuple[bool, str | None]:
        """Whether it fits, and a new hash when the parameters have changed since."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._verify, password, known)

    @staticmethod
    def _verify(password: str, known: str | None) -> tuple[bool, str | None]:
        try:
            fits, renewed = HASHER.verify_and_update(password, known or dummy_hash())
        except UnknownHashError:  # an erased account has no hash
            HASHER.verify(password, dummy_hash())
            return False, None
        return (fits, renewed) if known else (False, None)

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
