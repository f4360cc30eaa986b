"""Mails: text and HTML, in the reader's language and direction, without anything that acts."""

from html.parser import HTMLParser
from typing import Any

import pytest

from conftest import Mailbox
from libs.common.testing.harness import Harness
from libs.common.tests.test_addresses import LINK
from services.identity.admin import create_admin
from services.identity.mails import TEXTS, TRANSLATIONS, render
from services.identity.tests.conftest import PASSWORD, People

PURPOSES, LANGUAGES = sorted(TEXTS), TRANSLATIONS.languages


class Page(HTMLParser):
    """What a mail program would see: tags, their attributes, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("purpose", PURPOSES)
def test_every_mail_exists_in_every_language_as_text_and_well_formed_html(purpose: str, language: str):
    mail = render(purpose, language, name="Ada <b>", code="492039", minutes=10)
    page = Page(mail.html)
    assert page.open == []
    assert page.tags[0] == ("html", {"lang": language, "dir": "rtl" if language == "ar" else "ltr"})
    assert {tag for tag, _ in page.tags} <= {"html", "head", "meta", "title", "body", "p", "br"}
    assert "\n" not in mail.subject
    assert "{" not in mail.subject + mail.text
    assert "Ada <b>" in mail.text
    assert "Ada <b>" in page.text
    is_coded = purpose in ("verify", "reset")
    assert ["492039" in part for part in (mail.subject, mail.text, page.text)] == [is_coded] * 3
    directed = [attributes["dir"] for tag, attributes in page.tags if tag == "p" and "dir" in attributes]
    assert directed == (["ltr"] if is_coded else [])


def test_languages_are_found_by_their_first_part_and_fall_back_to_english():
    subjects = {
        tag: render("verify", tag, name="", code="", minutes=10).subject
        for tag in ("ar", "ar-EG", "en", "fr", "")
    }
    assert subjects["ar"] == subjects["ar-EG"] != subjects["en"]
    assert subjects["en"] == subjects["fr"] == subjects[""]


async def test_mails_follow_the_language_of_their_reader(identity: Harness, people: People, mailbox: Mailbox):
    ada = await people.join("ada@lectern.example")
    await ada.client.patch("/api/accounts/users/me/", json={"preferred_language": "ar-EG"})
    await identity.client().post("/api/accounts/password-reset/", json={"email": ada.email})
    await identity.run_tasks()
    message = mailbox.messages[-1]
    assert "إعادة تعيين" in str(message["Subject"])
    html = message.get_body(("html",))
    assert html is not None
    assert 'dir="rtl"' in html.get_content()
    assert mailbox.code() in html.get_content()


@pytest.mark.promise("injection")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["evil.com/login", "http://evil.com", "www.evil.com", "mailto:x@evil.com"])
def test_no_mail_makes_a_link_of_a_name(name: str, language: str):
    letters = [render(purpose, language, name=name, code="123456", minutes=10) for purpose in PURPOSES]
    for letter in letters:
        for shown in (letter.subject, letter.text, Page(letter.html.replace("<", " <")).text):
            assert not LINK.search(shown), shown


@pytest.mark.parametrize(
    "email",
    ["ünï@lectern.example", '"a b"@lectern.example', "a@b", "a@lectern.example.", "Ada <a@b.example>"],
)
async def test_an_address_that_cannot_be_mailed_to_is_refused_everywhere(identity: Harness, email: str):
    code = {"email": email, "verification_code": "123456"}
    new = {"new_password": "Another-good-one-2", "confirm_password": "Another-good-one-2"}
    bodies = {
        "register": {"email": email, "password": PASSWORD, "first_name": "A", "last_name": "B"},
        "verify-email": code,
        "resend-verification": {"email": email},
        "password-reset": {"email": email},
        "password-reset-confirm": {"email": email, "reset_code": "123456"} | new,
    }
    for path, body in bodies.items():
        answer = await identity.client().post(f"/api/accounts/{path}/", json=body)
        assert answer.status_code == 422, path
        assert answer.json()["errors"][0]["field"] == "email"
    login = await identity.client().post("/api/accounts/login/", json={"email": email, "password": PASSWORD})
    assert login.status_code == 401
    with pytest.raises(ValueError, match="must"):
        await create_admin(identity.db, email, PASSWORD, "Grace", "Hopper")


async def test_a_domain_beyond_ascii_is_mailed_to_and_logs_in_under_both_spellings(
    identity: Harness, people: People, mailbox: Mailbox
):
    await people.join("ada@bücher.example")
    assert mailbox.messages[0]["To"].addresses[0].domain == "xn--bcher-kva.example"
    for email in ("ada@bücher.example", "ADA@xn--bcher-kva.example"):
        assert (await people.login(email)).user["email"] == "ada@xn--bcher-kva.example"
