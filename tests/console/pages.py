"""Every page of the console in a real browser, as each role, in both themes, sizes and languages."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playwright.async_api import Browser

from deploy.local import seed as demo
from deploy.local.project import Project
from libs.common.testing.harness import eventually
from tests.console.browser import PHONE, Tab, open_tab
from tests.console.conftest import CANARY, ask, signed_in
from tests.poison import Poison

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PAGES = {
    "student": ["student"],
    "teacher": ["student", "teacher", "query"],
    "manager": ["student", "teacher", "platform", "query"],
    "admin": ["platform", "query", "operations"],
}


async def holds(tab: Tab, where: str) -> None:
    assert tab.faults == [], where
    assert await tab.violations() == [], where
    assert await tab.overflow() <= 0, where
    await eventually(lambda: tab.is_drawn(), 20)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("role", sorted(PAGES))
async def test_every_page_of_a_role(school: Project, browser: Browser, role: str, scheme: str):
    async with open_tab(browser, school.gateway_url, scheme=scheme) as tab:
        await tab.page.goto(f"{school.gateway_url}/console/")
        await tab.page.get_by_label("E-mail").wait_for()
        await holds(tab, "login")
        await signed_in(tab, role)
        links = await tab.page.locator("header nav a").evaluate_all("all => all.map(a => a.hash.slice(2))")
        assert sorted(links) == sorted({*PAGES[role], *(["student", "teacher"] if role == "admin" else [])})
        for path in PAGES[role]:
            await tab.open(path)
            await holds(tab, f"{path} of {role}, {scheme}")


@pytest.mark.parametrize("role", ["teacher", "admin"])
async def test_a_phone_in_arabic(school: Project, browser: Browser, role: str):
    async with open_tab(browser, school.gateway_url, size=PHONE) as tab:
        await signed_in(tab, role)
        await tab.page.get_by_label("Language").select_option("ar")
        assert await tab.page.locator("html").get_attribute("dir") == "rtl"
        for path in PAGES[role]:
            await tab.open(path)
            await holds(tab, f"{path} of {role}, Arabic")
            title = await tab.page.locator("main h1").inner_text()
            assert not title.isascii(), title


async def test_what_people_wrote_is_shown_as_they_wrote_it(school: Project, browser: Browser):
    async with open_tab(browser, school.gateway_url) as tab:
        await signed_in(tab, "teacher2")
        await tab.open("teacher")
        assert CANARY in await tab.page.locator("main").inner_text()
        await tab.page.locator("main a[href^='#/course/']").first.click()
        await tab.page.get_by_role("heading", name="Cohorts").wait_for()
        assert CANARY in await tab.page.locator("main").inner_text()
        await holds(tab, "course")
        assert await tab.page.locator("main img, main svg").count() == 0


async def test_a_teacher_sees_the_numbers_of_the_api_and_goes_down_to_a_learner(
    school: Project, browser: Browser
):
    async with open_tab(browser, school.gateway_url) as tab:
        await signed_in(tab, "teacher")
        await tab.open("teacher?from=2026-01-01&to=2026-06-30&compare=previous")
        said = ask(
            school, "teacher", "GET",
            "/api/core/analytics/teacher/?from=2026-01-01&to=2026-06-30&compare=previous",
        )  # fmt: skip
        card = tab.page.locator(".card", has=tab.page.get_by_text("Total students", exact=True))
        assert await card.locator(".value").inner_text() == str(said["summary"]["total_students"])
        assert "before" in await card.inner_text() or "not known before" in await card.inner_text()
        await card.get_by_text("What is this?").click()
        assert "enrollments.students" in await card.inner_text()
        await tab.page.locator("main a[href^='#/course/']").first.click()
        for heading in ("Lessons", "Questions", "Learners at risk", "Learners", "Cohorts"):
            await tab.page.get_by_role("heading", name=heading, exact=True).wait_for()
        learners = tab.page.get_by_role("region", name="Everybody on the course")
        await eventually(lambda: _no_ids(learners), 20)
        assert tab.faults == []


async def _no_ids(region: Any) -> bool:
    text = await region.inner_text()
    return "…" not in text and "@" not in text


async def test_a_manager_exports(school: Project, browser: Browser):
    async with open_tab(browser, school.gateway_url) as tab:
        await signed_in(tab, "manager")
        await tab.open("platform")
        await tab.page.get_by_role("button", name="Export courses").click()
        link = tab.page.get_by_role("link", name="Download")
        await link.wait_for(timeout=60_000)
        async with tab.page.expect_download() as download:
            await link.click()
        path = await (await download.value).path()
        lines = Path(path).read_text().splitlines()
        assert len(lines) > 1
        assert "title" in lines[0]
        assert tab.faults == []


async def test_an_analysts_query_gives_the_number_of_the_api(school: Project, browser: Browser):
    query = {"measures": ["enrollments.count"], "dimensions": ["courses.title"], "limit": 100}
    async with open_tab(browser, school.gateway_url) as tab:
        await signed_in(tab, "manager")
        await tab.open("query")
        await tab.page.get_by_role("button", name="Ask").click()
        rows = tab.page.get_by_role("region", name="Result").locator("tbody tr")
        await rows.first.wait_for(timeout=60_000)
        said = ask(school, "manager", "POST", "/api/analytics/query/", json=query)["data"]
        shown = await rows.evaluate_all("all => all.map(tr => [...tr.cells].map(td => td.innerText))")
        assert sorted(shown) == sorted([r["courses.title"], str(r["enrollments.count"])] for r in said)
        await tab.page.get_by_text("The query as JSON").click()
        assert json.loads(await tab.page.get_by_label("The query as JSON").input_value())["measures"]
        await tab.page.get_by_label("The query as JSON").fill('{"measures": ["enrolments.count"]}')
        await tab.page.get_by_role("button", name="Ask").click()
        said_so = tab.page.get_by_role("alert")
        await said_so.wait_for()
        assert "enrollments.count" in await said_so.inner_text()
        assert all("422" in fault for fault in tab.faults), tab.faults


async def test_the_keyboard_is_enough(school: Project, browser: Browser):
    async with open_tab(browser, school.gateway_url) as tab:
        page = tab.page
        await page.goto(f"{school.gateway_url}/console/")
        await page.get_by_label("E-mail").wait_for()
        await page.keyboard.type(demo.email_of("teacher"))
        await page.keyboard.press("Tab")
        await page.keyboard.type(demo.PASSWORD)
        await page.keyboard.press("Enter")
        await page.locator("header nav").wait_for()
        seen = []
        for _ in range(12):
            await page.keyboard.press("Tab")
            seen.append(await page.evaluate("() => document.activeElement.textContent.trim()"))
        assert seen[0] == "To the content"
        assert {"My learning", "Teaching", "Numbers", "Sign out"} <= set(seen)
        await page.get_by_role("link", name="Numbers").focus()
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="Numbers").wait_for()


async def test_an_operator_mends_a_dead_letter(school: Project, browser: Browser):
    customer = ask(school, "student", "GET", "/api/accounts/users/me/")["uuid"]
    poison = await Poison.publish(school, UUID(customer))

    async def parked() -> bool:
        found = await asyncio.to_thread(ask, school, "admin", "GET", "/api/ops/analytics/dead-letters/")
        return any(row["key"] == poison.key for row in found["results"])

    await eventually(parked, 60)
    async with open_tab(browser, school.gateway_url) as tab:
        await signed_in(tab, "admin")
        await tab.open("operations")
        row = tab.page.get_by_role("region", name="Dead letters").locator("tr", has_text=poison.key)
        await row.wait_for()
        await row.get_by_role("button", name="Look").click()
        await tab.page.locator("pre").get_by_text(poison.key).wait_for()
        await row.get_by_role("button", name="Try").click()
        await tab.page.get_by_role("alert").wait_for()
        poison.mend(school)
        await row.get_by_role("button", name="Try").click()
        await tab.page.get_by_text("Would apply: 1").wait_for()
        await row.get_by_role("button", name="Apply again").click()
        await tab.page.get_by_text("Applied: 1").wait_for()
        await row.wait_for(state="detached")
        await tab.page.get_by_role("button", name="Compare now").click()
        await tab.page.get_by_text("balances hold").wait_for(timeout=120_000)
        said = await tab.page.get_by_text("balances hold").inner_text()
        held, of = said.split(" balances")[0].split(" / ")
        assert held == of
        await tab.page.get_by_role("button", name="Rebuild from the event log").click()
        await tab.page.get_by_text("The digests are equal.").wait_for(timeout=120_000)
        assert tab.faults == []
