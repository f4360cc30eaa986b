"""Rich text: stored as written (Markdown, with HTML in it or not), never served as it came.

`as_html` is what a front end shows. `as_text` is the source for an editor: byte for byte what was written
when it holds no markup, otherwise without everything that could act in a browser.
"""

import re

import nh3
from markdown_it import MarkdownIt

_MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
_MARKUP = re.compile(r"<[A-Za-z/!?]")


def as_html(source: str) -> str:
    """Rendered, then sanitised: no scripts, handlers, frames, styles or dangerous links."""
    return nh3.clean(_MARKDOWN.render(source)) if source else ""


def as_text(source: str) -> str:
    """The source, harmless even where a front end takes it for HTML."""
    if not _MARKUP.search(source):
        return source
    return nh3.clean(source).replace("&gt;", ">")
