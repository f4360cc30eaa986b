"""What documents name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for pattern in (
        "*.md",
        "docs/*.md",
        *(f"{top}/**/*.md" for top in ("deploy", "gateway", "libs", "services")),
    )
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # it tells of files that were
)
SUFFIXES = "cfg|html|ini|j2|json|lock|mako|md|po|properties|py|sh|sql|toml|txt|typ|xml|yaml|yml"
# Not a path of a request, not a file that a running suite makes (`.lectern/…`), no placeholder.
NAMED = re.compile(rf"`(?![/.])([^`\s<>*{{}}…]+/[^`\s<>*{{}}…]+\.(?:{SUFFIXES}))`")
LINKED = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_the_files_that_a_document_names_are_there(document: Path) -> None:
    """Paths begin at the root of the checkout or at the document's folder; links at its folder alone."""
    text = (ROOT / document).read_text()
    folder = (ROOT / document).parent
    missing = {
        name for name in NAMED.findall(text) if not (ROOT / name).exists() and not (folder / name).exists()
    }
    missing |= {link for link in LINKED.findall(text) if not (folder / link).exists()}
    assert missing == set()
