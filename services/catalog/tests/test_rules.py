"""Pure decisions."""

from uuid import UUID

import pytest

from libs.common.files.uploads import shown_name
from libs.common.runtime.errors import FileTypeRefused
from services.catalog.errors import CourseTooLarge, IncompleteTree, InvalidTransition, NothingToPublish
from services.catalog.media.types import media_type
from services.catalog.rules import (
    check_publishable,
    check_room,
    check_transition,
    check_tree,
    has_cycle,
    is_visible,
    levels,
    place,
    published_structure,
    slug_of,
)
from services.catalog.tests.conftest import PDF

A, B, C = (UUID(int=n) for n in range(1, 4))
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + b"\0" * 64
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\0" * 64
ZIP = b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + b"\0" * 64


@pytest.mark.parametrize(
    ("words", "slug"),
    [
        ("Graphs, gently!", "graphs-gently"),
        ("Économie à Zürich", "economie-a-zurich"),
        ("مقدمة", ""),
        ("--", ""),
    ],
)
def test_a_slug_is_ascii_words(words: str, slug: str):
    assert slug_of(words) == slug


@pytest.mark.parametrize(
    ("status", "edits", "enrolled", "visible"),
    [
        ("draft", False, True, False),
        ("draft", True, False, True),
        ("published", False, False, True),
        ("archived", False, False, False),
        ("archived", False, True, True),
    ],
)
def test_who_sees_a_course(status: str, edits: bool, enrolled: bool, visible: bool):
    assert is_visible(status, edits=edits, enrolled=enrolled) is visible


def test_a_course_is_publishable_with_one_published_lesson():
    hidden: list[dict] = [{"lessons": [{"uuid": "x", "is_published": False}]}]
    empty: list[dict] = []
    bare: list[dict] = [{"lessons": []}]
    for modules in (empty, bare, hidden):
        with pytest.raises(NothingToPublish):
            check_publishable(modules)
    check_publishable([{"lessons": [{"is_published": True}]}])
    assert published_structure(hidden) == [{"lessons": []}]


def test_a_draft_is_not_unpublished_and_an_archive_stays_one():
    with pytest.raises(InvalidTransition):
        check_transition("draft", "draft")
    assert check_transition("archived", "archived") is False
    assert check_transition("published", "draft") is True


@pytest.mark.parametrize(
    ("wanted", "taken", "result"),
    [
        (None, [], (0, {})),
        (None, [0, 4], (5, {})),
        (1, [1, 2, 4], (1, {1: 2, 2: 3})),
        (3, [1, 2], (3, {})),
    ],
)
def test_a_newcomer_pushes_its_neighbours_on(wanted, taken, result):
    assert place(wanted, taken) == result


@pytest.mark.parametrize(
    ("wanted", "taken", "before", "result"),
    [
        (1, [1], 0, (1, {1: 0})),
        (2, [1, 2, 3], 0, (2, {2: 1, 1: 0})),
        (5, [3, 5], 0, (5, {5: 4})),
        (9, [1], 0, (9, {})),
        (0, [0, 1], 2, (0, {0: 1, 1: 2})),
    ],
)
def test_what_moves_down_draws_its_neighbours_back(wanted, taken, before, result):
    assert place(wanted, taken, before) == result


def test_levels_are_counted_from_the_root_to_the_deepest_leaf():
    assert levels(A, {}) == 1
    assert levels(B, {B: A}) == 2
    assert levels(A, {B: A, C: B}) == levels(B, {B: A, C: B}) == 3
    assert levels(B, {C: A}) == 1


def test_a_course_has_room_up_to_its_limits():
    check_room(100, 500)
    for modules, lessons in ((101, 0), (1, 501)):
        with pytest.raises(CourseTooLarge):
            check_room(modules, lessons)


@pytest.mark.parametrize(
    "wanted", [[], [(A, [B])], [(A, [B, C, C])], [(A, [B]), (A, [C])], [(A, [B, C]), (B, [])]]
)
def test_an_order_names_everything_once(wanted):
    with pytest.raises(IncompleteTree):
        check_tree(wanted, [A], [B, C])


def test_a_circle_is_found():
    assert has_cycle(A, {A: [B], B: [C], C: [A]})
    assert not has_cycle(A, {A: [B, C], B: [C]})
    assert has_cycle(A, {A: [A]})


@pytest.mark.parametrize(
    ("kind", "name", "head", "result"),
    [
        ("pdf", "a.pdf", PDF, "application/pdf"),
        ("video", "a.MP4", MP4, "video/mp4"),
        ("text", "a.png", PNG, "image/png"),
        ("assignment", "notes.md", b"# Notes\n", "text/plain"),
        ("interactive", "a.zip", ZIP, "application/zip"),
        ("text", "a.txt", "é".encode() * 5000, "text/plain"),
    ],
)
def test_a_file_has_the_type_of_bytes_and_name(kind: str, name: str, head: bytes, result: str):
    assert media_type(kind, name, head[:8192]) == result


@pytest.mark.parametrize(
    ("kind", "name", "head"),
    [
        ("pdf", "a.pdf", b"<html><script>alert(1)</script>%PDF-1.7"),
        ("pdf", "a.html", PDF),
        ("pdf", "a", PDF),
        ("pdf", "a.pdf.exe", PDF),
        ("pdf", "a.pdf", b"MZ\x90\0" + b"\0" * 60),
        ("pdf", "a.pdf", b""),
        ("video", "a.mp4", PNG),
        ("text", "a.svg", b"<svg onload=alert(1)>"),
        ("text", "a.png", ZIP),
        ("text", "a.txt", b"a\0b"),
        ("text", "a.txt", b"\xff\xfe\xfd"),
        ("slides", "a.pptx", PDF),
        ("text", "a.gif", b" <svg>GIF89a"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(kind: str, name: str, head: bytes):
    with pytest.raises(FileTypeRefused):
        media_type(kind, name, head)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd.pdf", "passwd.pdf"),
        ("..\\..\\x.pdf", "x.pdf"),
        ("a\r\nSet-Cookie: b.pdf", "aSet-Cookie b.pdf"),
        ("", "file"),
        ("...", "file"),
        ("x" * 500 + ".pdf", "x" * 150 + ".pdf"),
    ],
)
def test_a_shown_name_is_harmless(name: str, shown: str):
    assert shown_name(name) == shown
