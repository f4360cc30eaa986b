"""Words of notifications and mails, in the reader's language, as far as what they name is known."""

from html import escape

import pytest

from services.notify.kinds import GREETING, KINDS, OPEN, TRANSLATIONS, make_letter, title_and_message


@pytest.mark.parametrize(
    ("locale", "language"),
    [("en", "en"), ("ar", "ar"), ("ar-EG", "ar"), ("AR-sa", "ar"), ("de-DE", "en"), ("", "en"), (None, "en")],
)
def test_the_nearest_language_is_taken(locale: str | None, language: str):
    assert TRANSLATIONS.nearest(locale) == language


def test_what_is_known_stands_in_the_text_as_it_was_written():
    assert title_and_message("forum_reply", "en", who="Ada {x}", discussion="Week 2", course="Graphs") == (
        "Ada {x} replied in “Week 2”",
        "Ada {x} has replied to your post in “Week 2” (Graphs).",
    )
    assert title_and_message("forum_reply", "ar", who="Ada", discussion="2", course="") == (
        "رد من Ada في «2»",
        "رد من Ada على مشاركتك في «2».",
    )


def test_what_is_not_known_is_left_out_or_named_in_general():
    assert title_and_message("forum_reply", "en", who="", discussion="", course="") == (
        "Somebody replied in a discussion",
        "Somebody has replied to your post in a discussion.",
    )
    assert title_and_message("enrollment", "en", course="") == (
        "You are enrolled",
        "Welcome to your course. Enjoy the first lesson.",
    )
    assert title_and_message("enrollment", "en", course="Graphs")[0] == "You are enrolled: Graphs"
    assert (
        title_and_message("solution", "ar", who="", discussion="x", course="c")[1]
        == "تم اختيار ردك في «x» كحل (c)."
    )


@pytest.mark.parametrize("language", TRANSLATIONS.languages)
@pytest.mark.parametrize("text", sorted(KINDS))
def test_every_text_is_whole_with_all_known_and_with_what_is_always_known(text: str, language: str):
    for facts in ({"what": "X"}, {"who": "W", "what": "X", "discussion": "D", "course": "C"}):
        for line in title_and_message(text, language, **facts):
            assert line == line.strip()
            assert not set("{}[]") & set(line)
    message = title_and_message(text, language, who="W", what="X", discussion="D", course="C")[1]
    for name, value in (("who", "W"), ("what", "X"), ("discussion", "D"), ("course", "C")):
        if f"{{{name}}}" in KINDS[text].message:
            assert value in message


@pytest.mark.parametrize(("locale", "direction"), [("en-GB", "ltr"), ("ar", "rtl")])
def test_a_mail_says_the_same_in_text_and_in_html(locale: str, direction: str):
    language = TRANSLATIONS.nearest(locale)
    url = "https://lectern.example/?a=1&b=2"
    mail = make_letter("enrollment", locale, name="Ada <b>", course="Graphs & Trees", url=url)
    title, message = title_and_message("enrollment", language, course="Graphs & Trees")
    greeting = TRANSLATIONS.translate(GREETING, language).format(name="Ada <b>")
    assert mail.subject == title
    assert mail.text == f"{greeting}\n\n{message}\n\n{TRANSLATIONS.translate(OPEN, language)}\n\n{url}\n"
    assert f'lang="{language}"' in mail.html
    assert f'dir="{direction}"' in mail.html
    for part in (greeting, message):
        assert escape(part) in mail.html
    assert "https://lectern.example/?a=1&amp;b=2" in mail.html
    assert "<b>" not in mail.html
