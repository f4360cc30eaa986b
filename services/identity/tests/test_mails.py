"""Mails: text and HTML, in the reader's language and direction, without anything that acts."""

from html.parser import HTMLParser
from typing import Any

import pytest

from conftest import Mailbox
from libs.common.testing import Harness
from services.identity.mails import LANGUAGES, TEXTS, render
from services.identity.tests.conftest import People

PURPOSES = sorted({purpose for purpose, _ in TEXTS})


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
