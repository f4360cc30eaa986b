"""Renders Markdown, with HTML in it or not, as HTML that is safe to insert into a page.

It runs while everybody else waits, and takes at most about a tenth of a second for 50,000 characters. What
would take longer, which nobody writes who wants to be read, is shown as the plain text that it is.
"""

import html
import re
from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from html.parser import HTMLParser
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.rules_block import StateBlock, fence, table
from markdown_it.rules_inline import StateInline, html_inline, text
from markdown_it.token import Token

_MARKUP = re.compile(r"<[A-Za-z/!?]")
_BARE_TAG = re.compile(r"<(?=/?([A-Za-z][^\s/<>=]*+)[^<>=]*+>)")
_HTML = nh3.ALLOWED_TAGS | {
    "script", "style", "iframe", "object", "embed", "form", "input", "button", "textarea", "select", "option",
    "svg", "math", "link", "meta", "base", "frame", "frameset", "applet", "body", "html", "head", "title",
    "noscript", "template", "video", "audio", "source", "marquee", "xmp", "plaintext", "noembed", "noframes",
}  # fmt: skip
"""Elements of HTML. Other names between angle brackets are words, such as the type in `List<String>`."""
_OTHERS = frozenset({"code", "pre", "kbd", "samp", "tt", "blockquote", "q", "cite"})
_WITHIN_WORDS = frozenset({"a", "b", "i", "u", "s", "em", "strong", "del", "ins", "mark", "span"})
# What a parser of HTML opens again in every paragraph until it is closed, or gathers up for ever.
_LASTING = re.compile(
    r"(?i)<(?:b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u|html|body)(?![a-z0-9])[^<>]*>?"
)
_SPACE = r"[ \t\n\f\r]"
_ATTRIBUTES = (
    rf"""(?:{_SPACE}++[\w:.-]++(?:{_SPACE}*+={_SPACE}*+(?:"[^"<>]*+"|'[^'<>]*+'|[\w:;./?&%#-]++))?+)*+"""
)
# What leaves nothing open: comments, some elements without content, and those that hold only text.
_CLOSED = re.compile(
    rf"(?ia)<!--[^<>]*+(?<=--)>|<(?:br|hr|img){_ATTRIBUTES}{_SPACE}*+/?+>"
    rf"|<((?!html|body)[a-z][a-z0-9]*+){_ATTRIBUTES}{_SPACE}*+>[^<]*+</\1{_SPACE}*+>"
)
_LEVELS = 8
"""Levels of closed elements that are looked through."""

_UNIT = 50_000
_STEPS = 16_000
"""Most steps of the Markdown parser, 7 µs at worst, for `_UNIT` characters. Prose takes a tenth of them."""
_TAGS = 60_000_000
"""Most units of work on tags: 1.7 ns at worst for each tag and open element, 0.7 µs to open one again."""
_SHORT = 20_000


class _TooCostly(Exception):
    """Making HTML of it would hold everybody up."""


def _spend(state: StateBlock | StateInline, steps: int) -> None:
    state.env["steps"] -= steps
    if state.env["steps"] < 0:
        raise _TooCostly


def _fence(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    _spend(state, 1)  # it is asked for every line, in every block that the line may belong to
    return fence(state, start, end, silent)


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if not table(state, start, end, silent=True):
        return False
    if not silent:  # every row gets as many cells as the head has, written or not
        columns = state.src.count("|", state.bMarks[start], state.eMarks[start]) + 1
        last = next((line for line in range(start, end) if state.isEmpty(line)), end)
        _spend(state, columns * (last - start))
    return silent or table(state, start, end, silent)


def _text(state: StateInline, silent: bool) -> bool:
    _spend(state, 1)  # it is asked first, wherever something may begin
    return text(state, silent)


def _html_inline(state: StateInline, silent: bool) -> bool:
    found = html_inline(state, silent)
    if not found and state.src.startswith("<!", state.pos):  # it may have looked for the end of a comment
        _spend(state, (state.posMax - state.pos) // 400)
    return found


def _markup(_: RendererProtocol, tokens: Sequence[Token], index: int, *__: Any) -> str:
    """HTML that somebody wrote; what only looks like it stays to be read."""
    return _BARE_TAG.sub(lambda m: "<" if m[1].lower() in _HTML else "&lt;", tokens[index].content)


_MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
_MARKDOWN.add_render_rule("html_inline", _markup)
_MARKDOWN.add_render_rule("html_block", _markup)
_MARKDOWN.block.ruler.at("fence", _fence, {"alt": ["paragraph", "reference", "blockquote", "list"]})
_MARKDOWN.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
_MARKDOWN.inline.ruler.at("text", _text)
_MARKDOWN.inline.ruler.at("html_inline", _html_inline)


def _remembered(make: Callable[[str], str]) -> Callable[[str], str]:
    """Pages are shown again and again: keep what was made of the latest texts, of long ones only a few."""
    short, long = lru_cache(512)(make), lru_cache(16)(make)

    @wraps(make)
    def remembered(source: str) -> str:
        return (short if len(source) <= _SHORT else long)(source)

    return remembered


@_remembered
def as_html(source: str) -> str:
    """Rendered, then sanitised: no scripts, handlers, frames, styles or dangerous links."""
    try:
        return _cleaned(_rendered(source), source)
    except _TooCostly:
        return "<p>" + html.escape(source).replace("\n", "<br>\n") + "</p>"


def is_rendered(text: str, source: str) -> bool:
    """Whether `text` is what `as_html` makes of `source`, perhaps written anew by a browser."""
    shown = as_html(source)
    if text.strip() == shown.strip():
        return True
    # Browsers write entities and empty elements their own way, and neither add nor drop a tag.
    return text.count("<") == shown.count("<") and nh3.clean(text).strip() == shown.strip()


class _OwnWords(HTMLParser):
    """Gathers what stands neither in code nor in a quotation."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._within = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within += tag in _OTHERS
        if tag not in _WITHIN_WORDS:
            self.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._within -= tag in _OTHERS
        if tag not in _WITHIN_WORDS:
            self.words.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._within:
            self.words.append(data)


def own_words(source: str) -> str:
    """What the author says to the readers: the rendered text without code and quotations."""
    parser = _OwnWords()
    parser.feed(as_html(source))
    parser.close()
    return "".join(parser.words)


def _rendered(source: str) -> str:
    marks = sum(map(source.count, "*_~"))  # each is a token of its own until it finds its partner
    env = {"steps": _STEPS * max(len(source), _UNIT) // _UNIT - marks // 2}
    tokens = _MARKDOWN.parse(source, env)
    # A reference is repeated wherever it is used.
    repeated = sum(len(str(v)) for t in tokens for child in t.children or () for v in child.attrs.values())
    if repeated > 4 * max(len(source), _UNIT):
        raise _TooCostly
    return str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, env))


def _cleaned(markup: str, source: str) -> str:
    """Sanitised, unless the tags that people have written in `source` leave too much open in `markup`."""
    for _ in range(_LEVELS):
        source, closed = _CLOSED.subn("\0", source)
        if not closed:
            break
    # Three of a kind are kept open; what does not end here may differ in what follows.
    lasting = _LASTING.findall(source)
    kinds = len(set(lasting)) + sum(not tag.endswith(">") or _is_cut(tag) for tag in lasting)
    work = markup.count("<") * (len(_MARKUP.findall(source)) + 3 * 400 * kinds)
    if work > _TAGS * max(len(markup), _UNIT) // _UNIT:
        raise _TooCostly
    return nh3.clean(markup)


def _is_cut(tag: str) -> bool:
    """Whether the tag goes on behind the `>` that it ends with here, which a quoted value holds."""
    return tag.count('"') % 2 == 1 or tag.count("'") % 2 == 1
