"""What people write is served without anything that acts in a browser, and otherwise as it was written."""

import time
from collections.abc import Callable

import pytest
from pydantic import BaseModel

from libs.common.richtext import RichText, as_html, as_text

ATTACKS = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>",
    '<a href="javascript:alert(1)">x</a>', "[x](javascript:alert(1))", "[x]( JaVaScRiPt:alert(1))",
    "<iframe src=//evil.example>", '<p style="position:fixed">x</p>', "<math><mi xlink:href='data:x'>",
    "<ScRiPt\n>alert(1)</sCrIpT >", "<object data=x>", "<form action=x><input name=password>",
]  # fmt: skip


FORMATTING = ["b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"]
FLOODS: dict[str, Callable[[int], str]] = {
    "spaces of a link": lambda n: "](" + " " * n + "x",
    "brackets": lambda n: "[" * n,
    "pictures": lambda n: "![" * (n // 2),
    "stars": lambda n: "*" * (n // 2) + "a" + "*" * (n // 2),
    "uses of one long reference": lambda n: "[a]: " + "x" * (n // 2) + "\n\n" + "[a]" * (n // 6),
    "tables of empty cells": lambda n: ("|a" * 22 + "\n" + "|-" * 22 + "\n" + "|\n" * 45 + "\n") * (n // 180),
    "quotes within a quote": lambda n: "> " + ">---\nb   \n" * (n // 10),
    "lines of a deep quote": lambda n: "> " * (n // 4) + "\n" + "x\n" * (n // 4),
    "comments without an end": lambda n: "a<!--" * (n // 5) + "-->",
    "comments that end late": lambda n: "<pre>a" + "<!--" * (n // 4) + "--->",
    "folds": lambda n: "<div>" * (n // 5),
    "lists": lambda n: "<dd><dl>" * (n // 8),
    "formats": lambda n: "<p>" + "".join(f"<b id={i}>" for i in range(n // 20)) + "<p>x" * (n // 8),
    "formats that look alike": lambda n: (
        "<p>" + "".join(f"<b id='>{i}'>" for i in range(n // 20)) + "<p>x" * (n // 8)
    ),
    "formats that only seem to end": lambda n: (
        "<p>" + "".join(f"<i id={i}></i\xa0>" for i in range(n // 40)) + "<p>x" * (n // 8)
    ),
    "formats of Markdown": lambda n: "".join(f"<b id={i}>" for i in range(n // 20)) + "x\n\n" * (n // 6),
    "every format": lambda n: "<p>" + "".join(f"<{name}>" * 3 for name in FORMATTING) + "<p>x" * (n // 4),
    "attributes of the page": lambda n: "".join(f"<html a{i}>" for i in range(n // 10)),
}  # fmt: skip


@pytest.mark.parametrize("source", ATTACKS)
def test_attacks_are_taken_out(source: str):
    for served in (as_html(source), as_text(source)):
        lowered = served.lower()
        assert "<script" not in lowered
        assert "onerror" not in lowered
        assert "onload" not in lowered
        assert "<iframe" not in lowered
        assert "style=" not in lowered
        assert "<object" not in lowered
        assert "<form" not in lowered
        assert 'href="javascript:' not in lowered
    assert "javascript:" not in as_text(source).lower()


@pytest.mark.parametrize(
    "source", ["a < b and b > c", "**bold** & *more*", "List<String>", "5 > 3", "", "«…»"]
)
def test_harmless_text_stays_as_it_is(source: str):
    assert as_text(source).replace("&lt;", "<") == source


def test_a_field_of_an_answer_is_served_so():
    class Post(BaseModel):
        content: RichText

    post = Post(content="Hello <script>alert(1)</script>")
    assert post.model_dump_json() == '{"content":"Hello "}'


@pytest.mark.parametrize("flood", FLOODS)
def test_no_text_holds_the_others_up(flood: str):
    source = FLOODS[flood](50_000)
    started = time.thread_time()
    shown, written = as_html(source), as_text(source)
    assert time.thread_time() - started < 0.7
    assert len(shown) < 20 * len(source)
    assert len(written) < 20 * len(source)


def test_what_costs_too_much_is_shown_as_plain_text():
    source = "<b onclick=x>&\n" * 10 + "<dl><dd>" * 20_000
    assert as_html(source).startswith("<p>&lt;b onclick=x&gt;&amp;<br>\n")
    assert as_text(source).startswith("&lt;b onclick=x>&\n")
    assert "<d" not in as_html(source) + as_text(source)


def test_a_long_lesson_is_rendered():
    chapter = (
        "## Loops\n\nA *loop* repeats `code`, see [a book](https://book.example/a) and <b>Map<K, V></b>.\n\n"
        "- one\n- two\n\n> said somebody\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 |\n\n"
        "```c\nx[i] = *p_a < 3;\n```\n\n<!-- wp:paragraph -->\n"
        '<p class="wide">It is <strong>long</strong>.<br>Very.</p>\n<!-- /wp:paragraph -->\n\n'
    )
    source = chapter * (500_000 // len(chapter))
    rendered, chapters = as_html(source), source.count("##")
    for part in ("<h2>Loops</h2>", "<td>3</td>", "<strong>long</strong>"):
        assert rendered.count(part) == chapters
    assert as_text(source).count("<strong>long</strong>") == chapters
