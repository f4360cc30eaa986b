"""What the tests of the cache share: a path of the catalogue, a write to it, and answers of the service."""

from typing import Any

from gateway.tests.harness import COURSE, Seen, Suite

PATH = f"/api/courses/{COURSE}/"
WRITE = f"PATCH {PATH} HTTP/1.1\r\nHost: school.example\r\nContent-Length: 2\r\n"


async def fresh(suite: Suite) -> Suite:
    suite.tail.fresh = True
    return suite


def all_of(answer: Seen, name: str) -> str:
    return ", ".join(value for known, value in answer.headers if known == name)


def answering(body: bytes, *lines: str, status: str = "200 OK") -> Any:
    async def handler(seen: Any, reader: Any, writer: Any) -> None:
        head = "".join(f"{line}\r\n" for line in lines)
        writer.write(f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    return handler
