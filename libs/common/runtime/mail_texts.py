"""Words of mails and notifications: English in the code, other languages as gettext catalogues; one page.

A service keeps `locale/<language>.po`; `pybabel extract -k N_` finds its messages. Jinja2 escapes what people
wrote.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from babel.core import Locale
from babel.messages.pofile import read_po
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

PAGES = Environment(
    loader=PackageLoader("libs.common.runtime", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Mail:
    """A mail before it is addressed: both parts say the same."""

    subject: str
    text: str
    html: str


def N_(message: str) -> str:
    """Marks a message for translation where it is not translated yet (gettext's no-op)."""
    return message


class Translations:
    """The messages of one service in the languages that it speaks."""

    def __init__(self, folder: Path) -> None:
        self._messages: dict[str, dict[str, str]] = {"en": {}}
        self._messages |= {path.stem: _read(path) for path in sorted(folder.glob("*.po"))}
        self.languages = tuple(self._messages)

    def nearest(self, locale: str | None) -> str:
        """The language of a locale such as `ar-EG`, English where it is not spoken."""
        language = (locale or "en").partition("-")[0].lower()
        return language if language in self._messages else "en"

    def translate(self, message: str, language: str) -> str:
        """A message of `N_` in one of `languages`. Raises KeyError where it is not translated."""
        return message if language == "en" else self._messages[language][message]


def _read(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        catalog = read_po(file, locale=path.stem, abort_invalid=True)
    return {str(message.id): str(message.string) for message in catalog if message.id and message.string}


@cache
def direction(language: str) -> str:
    """`rtl` or `ltr`."""
    return "rtl" if Locale.parse(language).text_direction == "rtl" else "ltr"


def make_mail(
    language: str,
    subject: str,
    text: str,
    *,
    code: str | None = None,
    link: str | None = None,
    report: tuple[str, str] | None = None,
) -> Mail:
    """Text, and HTML of its paragraphs: one that is the `code` stands out, one that is the `link` is one.

    `report` is HTML that is safe already, and the same as text: it follows the paragraphs.
    """
    html = PAGES.get_template("mail.html.j2").render(
        language=language,
        direction=direction(language),
        subject=subject,
        paragraphs=[paragraph.strip() for paragraph in text.split("\n\n")],
        code=code,
        link=link,
        report=Markup(report[0]) if report else "",  # noqa: S704 - made safe by whoever wrote it
    )
    return Mail(subject, f"{text}\n{report[1]}" if report else text, html)
