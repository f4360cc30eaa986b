"""Every text is translated into every language that its service speaks, with the same values in it."""

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

CATALOGUES = sorted(Path("services").glob("*/locale/*.po"))


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=str)
def test_a_catalogue_translates_what_the_service_says_and_no_more(catalogue: Path):
    service = catalogue.parents[1]
    said = {str(message) for _, _, message, _, _ in extract_from_dir(service, keywords={"N_": None})}
    with catalogue.open("rb") as file:
        translated = {str(m.id): str(m.string) for m in read_po(file, abort_invalid=True) if m.id}
    assert said, "no message is marked with N_"
    assert set(translated) == said
    for message, translation in translated.items():
        assert translation.strip(), message
        assert _values(translation) == _values(message), message


def _values(text: str) -> set[str]:
    return set(re.findall(r"\{\w*\}", text))
