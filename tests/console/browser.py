"""A Chromium that watches what pages do: errors, requests to elsewhere, violations of accessibility."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 800}
LEAST_INK = 0.003
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def find_chromium() -> str | None:
    """Path of the browser, or None."""
    named = os.environ.get("CHROMIUM")
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return named or next(filter(None, found), None)


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Tab:
    """A tab of the console at `origin`, with what went wrong in it."""

    page: Page
    origin: str
    faults: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        self.page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https") and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.faults.append(f"request to {request.url}")

    async def login(self, email: str, password: str) -> None:
        await self.page.goto(f"{self.origin}/console/")
        await self.page.get_by_label("E-mail").fill(email)
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.locator("header nav").wait_for()

    async def open(self, path: str) -> None:
        """A page of the console, drawn: its charts have been animated."""
        await self.page.evaluate("path => { location.hash = path }", f"#/{path}")
        await self.page.locator("main h1").wait_for()
        await self.page.wait_for_function(
            "() => !document.querySelector('main [aria-live]') && !document.querySelector('main .bdi-waits')",
            timeout=60_000,
        )

    async def violations(self) -> list[str]:
        """What axe-core has against the page, by rule and element."""
        found = await Axe().run(self.page, options={"runOnly": {"type": "tag", "values": TAGS}})
        return [
            f"{one['id']}: {node['html'][:200]}"
            for one in found.response["violations"]
            for node in one["nodes"]
        ]

    async def ink(self) -> list[float]:
        """Of each canvas, the share of its pixels that something is drawn on."""
        return await self.page.evaluate(
            """() => [...document.querySelectorAll('canvas')].map((canvas) => {
                const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                let drawn = 0;
                for (let i = 3; i < data.length; i += 4) drawn += data[i] > 0;
                return drawn / (data.length / 4);
            })"""
        )

    async def is_drawn(self) -> bool:
        """Whether something is drawn on every canvas."""
        return all(share > LEAST_INK for share in await self.ink())

    async def overflow(self) -> int:
        """Pixels by which the page is wider than its window."""
        return await self.page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )


@asynccontextmanager
async def open_tab(
    browser: Browser,
    origin: str,
    *,
    scheme: str = "light",
    size: dict[str, int] | None = None,
    **options: str,
) -> AsyncIterator[Tab]:
    context = await browser.new_context(
        color_scheme=scheme, viewport=size or DESKTOP, reduced_motion="reduce", locale="en-GB",
        timezone_id="Europe/Berlin",
    )  # fmt: skip
    tab = Tab(await context.new_page(), origin)
    tab.watch()
    try:
        yield tab
    finally:
        await context.close()
