"""Rich text: stored as written (Markdown, with HTML in it or not), never served as it came.

`as_html` is what a front end shows. `as_text` is the source for an editor: byte for byte what was written
when it holds nothing that could act in a browser, otherwise without that.
"""

import re
from typing import Annotated

import nh3
from markdown_it import MarkdownIt
from pydantic import PlainSerializer

_MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
_MARKUP = re.compile(r"<[A-Za-z/!?]")
# `List<String>`, `Map<K, V>`: a type of some programming language, unless HTML knows the name.
_TYPE = re.compile(r"<([A-Z][\w.]*(?:\s*,\s*[A-Z][\w.]*)*)>")
_HTML = nh3.ALLOWED_TAGS | {
    "script", "style", "iframe", "object", "embed", "form", "input", "button", "textarea", "select", "option",
    "svg", "math", "link", "meta", "base", "frame", "frameset", "applet", "body", "html", "head", "title",
    "noscript", "template", "video", "audio", "source", "marquee", "xmp", "plaintext", "noembed", "noframes",
}  # fmt: skip
_SCRIPT_LINK = re.compile(r"(?i)(\]\s*\(\s*<?|\]:\s*<?)[\s\x00-\x1f]*(?:javascript|vbscript|data)\s*:")


def as_html(source: str) -> str:
    """Rendered, then sanitised: no scripts, handlers, frames, styles or dangerous links."""
    return nh3.clean(_MARKDOWN.render(source)) if source else ""


def as_text(source: str) -> str:
    """The source, harmless even where a front end takes it for HTML or renders its Markdown carelessly."""
    if _MARKUP.search(source):
        source = nh3.clean(_TYPE.sub(_escaped, source)).replace("&gt;", ">")
    return _SCRIPT_LINK.sub(r"\1unsafe:", source)


def _escaped(match: re.Match[str]) -> str:
    return match[0] if match[1].lower() in _HTML else f"&lt;{match[1]}>"


RichText = Annotated[str, PlainSerializer(as_text, return_type=str)]
"""A field of an answer that people have written: served by `as_text`."""
