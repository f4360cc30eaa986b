"""The demo school, on which the console is looked at."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser

from deploy.local import seed as demo
from deploy.local.project import Project
from tests.console.browser import Tab, open_browser

CANARY = '<img src=x onerror="alert(1)"><svg onload=alert(2)>'


@pytest.fixture(scope="session")
def school(project: Project) -> Project:
    """The demo school with a few weeks of learning; what people can name is called like an attack."""
    demo.seed(project)
    demo.history(project, "small", lambda *_: None)
    with httpx.Client(base_url=project.gateway_url, timeout=30) as http:
        teacher = login(http, "teacher2")
        mine = http.get("/api/courses/teacher/", headers=teacher).json()
        for course in mine:
            body = {"title": f"{course['title']} {CANARY}"}
            http.patch(f"/api/courses/{course['uuid']}/", json=body, headers=teacher).raise_for_status()
        body = {"last_name": CANARY}
        for name in ("teacher2", "student2"):
            http.patch("/api/accounts/users/me/", json=body, headers=login(http, name)).raise_for_status()
    return project


def login(http: httpx.Client, name: str) -> dict[str, str]:
    body = {"email": demo.email_of(name), "password": demo.PASSWORD}
    answer = http.post("/api/accounts/login/", json=body).raise_for_status().json()
    return {"Authorization": f"Bearer {answer['access']}"}


def ask(project: Project, name: str, method: str, path: str, **options: Any) -> Any:
    with httpx.Client(base_url=project.gateway_url, timeout=30) as http:
        return http.request(method, path, headers=login(http, name), **options).raise_for_status().json()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as browser:
        yield browser


async def signed_in(tab: Tab, name: str) -> None:
    await tab.login(demo.email_of(name), demo.PASSWORD)
