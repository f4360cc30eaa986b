"""What is rendered holds nothing that acts in a browser, and loses nothing that people can read."""

import html
import re
import time
from collections.abc import Callable

import pytest

from libs.common.web.richtext import as_html, is_rendered

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
    '<p style="position:fixed">x</p>',
    "<math><mi xlink:href='data:x'>",
    "<ScRiPt\n>alert(1)</sCrIpT >",
    "<object data=x>",
    "<a href='javascript:alert(1)'>x</a>",
    "<vector<script>alert(1)</script>>",
    "List<String><script>alert(1)</script>",
    "<string onclick=alert(1)><img src=x onerror=alert(1)></string>",
    "<string\n><svg onload=alert(1)>\n</string>",
]
EXECUTES = re.compile(
    r"<\s*(script|svg|iframe|style|form|input|meta|math|object|embed)\b|<[^>]*\son\w+\s*="
    r"|(href|src)\s*=\s*[\"']?\s*(javascript|data):",
    re.IGNORECASE | re.DOTALL,
)
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


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_acts_is_rendered(payload: str):
    for rendered in (as_html(payload), as_html(as_html(payload))):
        assert EXECUTES.search(rendered) is None, rendered
        assert "style=" not in rendered


@pytest.mark.parametrize(
    "source",
    [
        "for (i = 0; i<n && m>i; i++) { map<int, string> x; }",
        "List<String> & ask <me@x.org>",
        "Map<K, V> and vector<int>",
        "a<b",
        "`a<b>` & 1 <3 \"'",
        "<String>\nalone on its line",
        "# A\n\n> x < y\n\n```py\nif a<1: ...\n```",
    ],
)
def test_what_only_looks_like_markup_stays_to_be_read(source: str):
    shown = html.unescape(re.sub(r"<[^>]*>", "", as_html(source)))
    words = re.findall(r"[\w<>&@.,;'\"(){}=+]+", re.sub(r"(?m)^(#|>|```\w*) ?|`", "", source))
    assert [word for word in words if word.strip("<>") not in shown] == []
    assert not re.search(r"\w<\w", source) or "<" in shown


def test_formatting_stays():
    assert as_html("<b>bold</b> the **sky**") == "<p><b>bold</b> the <strong>sky</strong></p>\n"


@pytest.mark.parametrize(
    "source", ['*a* "b" <br> & c', "1. x\n2. y\n\n> z", "List<String>", "![a](b.png)", ""]
)
def test_what_a_browser_writes_of_the_rendered_form_is_known_again(source: str):
    rendered = as_html(source)
    assert is_rendered(rendered, source)
    assert is_rendered(rendered.strip().replace("&quot;", '"').replace("<br>", "<br />"), source)
    assert not is_rendered(rendered + "x", source)
    assert not is_rendered(rendered + "<script>x</script>", source)


@pytest.mark.parametrize("flood", FLOODS)
def test_no_text_holds_the_others_up(flood: str):
    source = FLOODS[flood](50_000)
    started = time.thread_time()
    shown = as_html(source)
    assert time.thread_time() - started < 0.7
    assert len(shown) < 20 * len(source)


def test_what_costs_too_much_is_shown_as_plain_text():
    source = "<b onclick=x>&\n" * 10 + "<dl><dd>" * 20_000
    assert as_html(source).startswith("<p>&lt;b onclick=x&gt;&amp;<br>\n")
    assert "<d" not in as_html(source)


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
