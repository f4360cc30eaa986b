"""The pictures of README and docs: `make screenshots`."""

import pytest
from playwright.async_api import Browser

from deploy.local.project import CHECKOUT, Project
from libs.common.testing.harness import eventually
from tests.console.browser import open_tab
from tests.console.conftest import signed_in

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PICTURES = CHECKOUT / "docs" / "pictures"
LIVE = 20_000
"""Milliseconds after which lines of what happens now have some points."""


@pytest.mark.parametrize(
    ("role", "path", "scheme"), [("teacher", "teacher", "light"), ("admin", "operations", "dark")]
)
async def test_pictures(school: Project, browser: Browser, role: str, path: str, scheme: str):
    async with open_tab(browser, school.gateway_url, scheme=scheme) as tab:
        await signed_in(tab, role)
        await tab.open(path)
        if path == "operations":
            await tab.page.wait_for_timeout(LIVE)
        await eventually(tab.is_drawn, 20)
        picture = PICTURES / f"console-{path}.png"
        await tab.page.screenshot(path=picture)
        assert picture.stat().st_size > 20_000
