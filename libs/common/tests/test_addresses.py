"""Addresses that mail gets to, and texts of people in mails, of which no program makes a link."""

import re

import pytest

from libs.common.runtime.addresses import address, address_or_text
from libs.common.runtime.mail import unlinked

LINK = re.compile(
    r"\w[.。．｡]\w|://|www\.|\w@\w|(?:mailto|https?|javascript|tel):\S|\w/\w", re.IGNORECASE
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "ünï@lectern.example", "用户@lectern.example", '"quoted name"@lectern.example', "a@b", "a@localhost",
        "a@[127.0.0.1]", "a@lectern.example.", ".a@lectern.example", "a..b@lectern.example", "a@-x.example",
        "a\x07@lectern.example", "a\u200b@lectern.example", "a@lectern.example\r\nBcc: b@c.example",
        "a" * 65 + "@lectern.example", "a@" + ".".join(["x" * 60] * 5), "Ada <ada@lectern.example>",
        "a@😀.example", "a@ü" + "ü" * 62 + ".example", "a@b@lectern.example", "ada", "@lectern.example", "",
        "a\ud800@lectern.example",
    ],
)  # fmt: skip
def test_an_address_that_no_mail_gets_to_is_refused_with_a_reason(text: str):
    with pytest.raises(ValueError, match=r"\S{3}"):
        address(text)
    assert address_or_text(text) == text.lower()


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("Ada.L+x@Lectern.Example", "ada.l+x@lectern.example"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("o'hara_1-2@lectern.example", "o'hara_1-2@lectern.example"),
    ],
)
def test_an_address_has_one_spelling_that_can_be_mailed_to(text: str, stored: str):
    assert address(text) == address_or_text(text) == stored


@pytest.mark.promise("injection")
@pytest.mark.parametrize(
    "text",
    [
        "evil.com/login", "www.evil.com", "https://evil.com/x?y=z", "http://1.2.3.4", "mailto:x@evil.com",
        "x@evil.com", "evil。com", "evil．com", "xn--evl-7ra.com", "WWW.EVIL.COM", "javascript:alert(1)",
        "localhost/login", "Ada evil.com Lovelace", "evil.com.", "ftp://evil.com", "tel:+440", "а.рф",
    ],
)  # fmt: skip
def test_nothing_makes_a_link_of_what_people_wrote(text: str):
    shown = unlinked(text)
    assert LINK.search(text)
    assert not LINK.search(shown)
    assert shown.replace("\u2060", "") == text


@pytest.mark.parametrize(
    "name", ["Ada Lovelace", "J. R. R. Tolkien", "O'Hara-Łuc", "Nr. 5", "List<String> & co"]
)
def test_names_without_links_stay_as_they_are(name: str):
    assert unlinked(name) == name
