"""What people write is served without anything that acts in a browser, and otherwise as it was written."""

import pytest
from pydantic import BaseModel

from libs.common.richtext import RichText, as_html, as_text

ATTACKS = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>",
    '<a href="javascript:alert(1)">x</a>', "[x](javascript:alert(1))", "[x]( JaVaScRiPt:alert(1))",
    "<iframe src=//evil.example>", '<p style="position:fixed">x</p>', "<math><mi xlink:href='data:x'>",
    "<ScRiPt\n>alert(1)</sCrIpT >", "<object data=x>", "<form action=x><input name=password>",
]  # fmt: skip


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
