"""`python -m deploy.docker.demo`: the demo users and the demo course, in the suite of docker-compose.yml.

The profile `demo` runs it once. Everybody knows the password of these people: production refuses them.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from deploy.local.project import SetupError
from deploy.local.seed import PASSWORD, USERS, Seed, email_of

GATEWAY = "http://gateway:8000"
MAIL = "http://mailpit:8025"


class ComposedSeed(Seed):
    """The seed of the local suite, with the mail of Mailpit and the credentials of this container."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def _admin(self) -> str:
        token = self.login("admin")
        if token is None:
            first, last, _ = USERS["admin"]
            argv = [sys.executable, "-m", "services.identity.admin", "create", "--email", email_of("admin")]
            argv += ["--password", PASSWORD, "--first-name", first, "--last-name", last]
            subprocess.run(argv, check=True, cwd=Path(__file__).parents[2])
            token = self.login("admin")
        if token is None:
            raise SetupError("The demo administrator cannot log in.")
        return token

    def _mails(self, email: str) -> list[dict[str, Any]]:
        with httpx.Client(base_url=MAIL, timeout=10) as http:
            listed = http.get("/api/v1/search", params={"query": f'to:"{email}"'}).json()["messages"]
            mails = [http.get(f"/api/v1/message/{mail['ID']}").json() for mail in listed]
        return [{"id": mail["ID"], "text": mail["Text"]} for mail in mails]


def main() -> int:
    if os.environ.get("LECTERN_ENVIRONMENT", "development") == "production":
        print("demo: set LECTERN_ENVIRONMENT=development: demo users have a public password", file=sys.stderr)
        return 1
    with httpx.Client(base_url=GATEWAY, timeout=30) as http:
        people = ComposedSeed(http)
        people.course(people.users(print), print)
    print(f"demo: {len(USERS)} people and a course are there; password {PASSWORD}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
