"""Rich text: stored as written (Markdown, with HTML in it or not), never served as it came.

`as_html` is what a front end shows. `as_text` is the source for an editor: byte for byte what was written
when it holds nothing that could act in a browser, otherwise without that.

Both run while everybody else waits, and take at most about a tenth of a second for 50,000 characters. What
would take longer, which nobody writes who wants to be read, is shown as the plain text that it is.
"""

import html
import re
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from typing import Annotated, Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, fence, table
from markdown_it.rules_inline import StateInline, html_inline, text
from pydantic import PlainSerializer

_MARKUP = re.compile(r"<[A-Za-z/!?]")
# `List<String>`, `Map<K, V>`: a type of some programming language, unless HTML knows the name.
_TYPE = re.compile(r"<([A-Z][\w.]*(?:\s*,\s*[A-Z][\w.]*)*)>")
_HTML = nh3.ALLOWED_TAGS | {
    "script", "style", "iframe", "object", "embed", "form", "input", "button", "textarea", "select", "option",
    "svg", "math", "link", "meta", "base", "frame", "frameset", "applet", "body", "html", "head", "title",
    "noscript", "template", "video", "audio", "source", "marquee", "xmp", "plaintext", "noembed", "noframes",
}  # fmt: skip
_SCRIPT_LINK = re.compile(r"(?i)(\]\s*+\(\s*+<?+|\]:\s*+<?+)[\s\x00-\x1f]*+(?:javascript|vbscript|data)\s*+:")
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


_MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
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


def as_text(source: str) -> str:
    """The source, harmless even where a front end takes it for HTML or renders its Markdown carelessly."""
    if _MARKUP.search(source):
        source = _without_markup(source)
    return _SCRIPT_LINK.sub(r"\1unsafe:", source)


def drop_untouched(given: dict[str, Any], row: object, names: Iterable[str]) -> None:
    """Leave out rich text that an editor was shown, when it is sent back as it was."""
    for name in names:
        if name in given and given[name] == as_text(getattr(row, name)):
            del given[name]


@_remembered
def _without_markup(source: str) -> str:
    try:
        typed = _TYPE.sub(_escaped, source)
        return _cleaned(typed, typed).replace("&gt;", ">")
    except _TooCostly:
        return source.replace("<", "&lt;")


def _escaped(match: re.Match[str]) -> str:
    return match[0] if match[1].lower() in _HTML else f"&lt;{match[1]}>"


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


RichText = Annotated[str, PlainSerializer(as_text, return_type=str)]
"""A field of an answer that people have written: served by `as_text`."""
