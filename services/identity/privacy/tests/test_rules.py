"""How far an export or an erasure is, what a person reads of it, and names in the archive."""

from datetime import UTC, datetime, timedelta

import pytest

from services.identity.privacy import rules

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "kind", "acknowledged", "services", "progress", "percent"),
    [
        ("done", "export", 0, 7, 0, 100),
        ("done", "erasure", 0, 7, 0, 100),
        ("open", "erasure", 1, 7, 100, 14),
        ("open", "erasure", 7, 7, 0, 99),
        ("open", "erasure", 139, 140, 0, 99),
        ("open", "erasure", 60, 101, 0, 59),
        ("open", "erasure", 0, 7, 100, 0),
        ("open", "export", 1, 7, 0, 15),
        ("open", "export", 5, 8, 15, 65),
        ("open", "export", 6, 7, 0, 90),
        ("open", "export", 6, 7, 19, 91),
        ("open", "export", 6, 7, 80, 98),
        ("open", "export", 6, 7, 100, 99),
        ("failed", "export", 0, 7, 50, 5),
    ],
)
def test_how_much_is_done(
    status: str, kind: str, acknowledged: int, services: int, progress: int, percent: int
):
    shown = rules.percent(status, kind, acknowledged, services, progress)
    assert shown == percent
    assert isinstance(shown, int)


@pytest.mark.parametrize(
    ("status", "version", "kind", "acknowledged", "shown"),
    [
        ("open", 0, "erasure", 5, "queued"),
        ("open", 1, "erasure", 0, "running"),
        ("open", 1, "export", 0, "queued"),
        ("open", 0, "export", 1, "running"),
        ("done", 0, "export", 0, "done"),
        ("failed", 9, "erasure", 9, "failed"),
    ],
)
def test_what_is_open_waits_or_runs(status: str, version: int, kind: str, acknowledged: int, shown: str):
    assert rules.shown_status(status, version, kind, acknowledged) == shown


@pytest.mark.parametrize(
    ("percent", "seconds"), [(0, None), (1, 5940), (50, 60), (75, 20), (99, 0), (100, None), (101, None)]
)
def test_the_end_is_told_by_the_pace_so_far(percent: int, seconds: int | None):
    assert rules.eta_seconds(START, START + timedelta(seconds=60), percent) == seconds


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            "not_packed:forum,notify",
            "The data of forum, notify could not be packed; start another export, or ask support.",
        ),
        (
            "not_packed",
            "The data of a service could not be packed; start another export, or ask support.",
        ),
        (
            "unknown:forum",
            "The data of forum could not be packed; start another export, or ask support.",
        ),
        (
            "timed_out:support",
            "The data of support did not arrive within seven days; start another export.",
        ),
        (
            "not_built:learning",
            "The archive could not be written at the data of learning; start another export, or ask support.",
        ),
    ],
)
def test_a_person_reads_a_sentence(error: str, sentence: str):
    assert rules.shown_error(error) == sentence


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        ("a-b_(c) d.pdf", (), "a-b_(c) d.pdf"),
        ("aXXb.pdf", (), "aXXb.pdf"),
        ("XX. notes .XX", (), "XX. notes .XX"),
        (" .notes. ", (), "notes"),
        ("x" * 151, (), "x" * 150),
        ("a" + "x" * 146 + ".pdf", (), "x" * 146 + ".pdf"),
        ("a.tar.gz", ("a.tar.gz",), "a.tar (2).gz"),
        ("Essay.PDF", ("essay.pdf",), "Essay (2).PDF"),
        ("essay.pdf", ("essay.pdf", "essay (2).pdf"), "essay (3).pdf"),
        ("README", ("readme",), "README (2)"),
    ],
)
def test_a_name_in_the_archive_is_its_own(name: str, taken: tuple[str, ...], expected: str):
    names = set(taken)
    assert rules.archive_name(name, names) == expected
    assert names == {*taken, expected.lower()}
