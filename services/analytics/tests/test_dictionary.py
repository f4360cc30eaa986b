"""metrics.yml: what it may not say, and what follows from it."""

from datetime import date

import pytest
import yaml

from services.analytics import docs
from services.analytics.dictionary import DictionaryError, dictionary, dimensions, entries, measures, read
from services.analytics.query.periods import BadRange, days_of, made_of
from services.analytics.schemas import CourseSummary, PlatformStats, StudentSummary, TeacherSummary

GOOD = {
    "since_version": "1",
    "owner": "me",
    "time": {"title": "Time", "description": "When."},
    "datasets": {
        "visits": {
            "title": "Visits",
            "description": "Visits.",
            "grain": "one row per visit",
            "source": "visits",
            "time": "at",
            "person": "who",
            "course": "course",
            "columns": {
                "at": {"type": "time", "description": "When."},
                "who": {"type": "uuid", "description": "Who."},
                "course": {"type": "uuid", "description": "Where."},
                "kind": {"type": "string", "title": "Kind", "description": "How."},
            },
            "measures": {
                "count": {
                    "title": "Visits", "description": "Visits.", "sql": "count(*)", "type": "integer",
                    "unit": "visits",
                }
            },
        }
    },
}  # fmt: skip
VISITS = "datasets.visits"
KIND = {"type": "string", "title": "Kind", "description": "How."}


def changed(path: str, value: object) -> str:
    """The good file with one thing else; None takes it away."""
    body = yaml.safe_load(yaml.safe_dump(GOOD))
    *way, last = path.split(".")
    place = body
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return yaml.safe_dump(body)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("datasets", None, "datasets: Field required"),
        (f"{VISITS}.colour", "red", "datasets.visits.colour: Extra inputs"),
        (f"{VISITS}.grain", None, "datasets.visits.grain: Field required"),
        (f"{VISITS}.time", "kind", "its time, kind, is a string"),
        (f"{VISITS}.time", "when", "when is no column of it"),
        (f"{VISITS}.person", "student", "student is no column of it"),
        (f"{VISITS}.course", None, "no course to hold teachers to"),
        (f"{VISITS}.joins", {"courses": {"uuid": "course"}}, "joins courses, which is no dataset"),
        (f"{VISITS}.joins", {"visits": {"id": "course"}}, "by id, which is no column of it"),
        (f"{VISITS}.joins", {"visits": {"who": "me"}}, "me is no column of it"),
        (f"{VISITS}.columns.kind.type", "colour", "datasets.visits.columns.kind.type"),
        (f"{VISITS}.columns.kind.within", "sort", "sort is no column of it"),
        (f"{VISITS}.columns.kind.within", "who", "kind is within who, which is no dimension"),
        (f"{VISITS}.columns.kind.sql", "case when", "is no SQL"),
        (f"{VISITS}.source", "visits JOIN (", "is no SQL"),
        (f"{VISITS}.where", "kind LIKE 'a%'", "has a %"),
        (f"{VISITS}.measures.count.sql", "count(", "is no SQL"),
        (f"{VISITS}.measures.count.sql", "kind", "aggregates nothing"),
        (f"{VISITS}.measures.count.sql", "count(*) + max(colour)", "reads colour, which is no column"),
        (f"{VISITS}.measures.count.sql", "count(*) || kind", "reads kind outside an aggregate"),
        (f"{VISITS}.measures.count.sql", "(SELECT count(*) FROM users)", "more than an aggregate"),
        (f"{VISITS}.measures.count.sql", "sum(count(*)) OVER ()", "more than an aggregate"),
        (f"{VISITS}.measures.count.unit", None, "measures.count.unit: Field required"),
        (f"{VISITS}.measures.count.title", "", "measures.count.title"),
        (f"{VISITS}.measures.Count", {}, "measures.Count"),
        (f"{VISITS}.columns.count", KIND, "count is a measure and a dimension"),
    ],
)
def test_a_mistake_is_told_with_its_place(path: str, value: object, said: str):
    read(yaml.safe_dump(GOOD))
    with pytest.raises(DictionaryError) as error:
        read(changed(path, value))
    assert said in str(error.value)


def test_what_is_no_yaml_is_said_so():
    with pytest.raises(DictionaryError, match="no YAML"):
        read("a: [")


def test_names_and_titles_are_told_apart():
    names = [entry["name"] for entry in entries()]
    assert len(set(names)) == len(names)
    titles = [entry["title"] for entry in entries() if entry["kind"] == "measure"]
    assert len(set(titles)) == len(titles)


def test_what_tells_of_people_is_not_for_teachers():
    for dimension in dimensions().values():
        of_a_person = dimension.dataset == "people" or dimension.column in ("student", "author", "user")
        assert not of_a_person or dimension.of.personal
    for name, dataset in dictionary().datasets.items():
        if dataset.measures and dataset.person and dataset.audience == "teacher":
            assert dataset.course, name


def test_counts_of_nothing_are_zero_and_means_are_not():
    of_nothing = {name: measure.of_nothing for name, (_, measure) in measures().items()}
    assert of_nothing["enrollments.count"] == of_nothing["study.minutes"] == 0
    assert of_nothing["attempts.average_score"] is of_nothing["enrollments.completion_rate"] is None


def test_the_page_is_what_the_dictionary_says():
    page = docs.page()
    assert docs.PAGE.read_text() == page
    for name in measures():
        assert f"`{name}`" in page


TODAY = date(2026, 5, 20)  # a Wednesday


@pytest.mark.parametrize(
    ("given", "first", "last"),
    [
        (["2026-01-01", "2026-01-31"], "2026-01-01", "2026-01-31"),
        (["2024-02-29"], "2024-02-29", "2024-02-29"),
        (["today"], "2026-05-20", "2026-05-20"),
        (["Yesterday"], "2026-05-19", "2026-05-19"),
        (["this week"], "2026-05-18", "2026-05-24"),
        (["last week"], "2026-05-11", "2026-05-17"),
        (["this month"], "2026-05-01", "2026-05-31"),
        (["last quarter"], "2026-01-01", "2026-03-31"),
        (["this year"], "2026-01-01", "2026-12-31"),
        (["last 7 days"], "2026-05-13", "2026-05-19"),
        (["last 1 day"], "2026-05-19", "2026-05-19"),
        (["last 2 weeks"], "2026-05-04", "2026-05-17"),
        (["last 6 months"], "2025-11-01", "2026-04-30"),
        (["last 50 years"], "1976-01-01", "2025-12-31"),
    ],
)
def test_ranges_of_days(given: list[str], first: str, last: str):
    assert days_of(given, TODAY) == (date.fromisoformat(first), date.fromisoformat(last))


@pytest.mark.parametrize(
    "given", ["", "tomorrow", "last 0 days", "last 51 years", "2026-1-1", "20260101", "1899-12-31"]
)
def test_what_is_no_range_is_refused(given: str):
    with pytest.raises(BadRange):
        days_of([given], TODAY)


@pytest.mark.parametrize(
    ("first", "last", "units"),
    [
        ("2026-01-01", "2026-12-31", "year quarter month day"),
        ("2026-04-01", "2026-06-30", "quarter month day"),
        ("2026-02-01", "2026-02-28", "month day"),
        ("2026-02-01", "2026-02-27", "day"),
        ("2026-02-02", "2026-02-28", "day"),
    ],
)
def test_what_units_a_range_is_made_of(first: str, last: str, units: str):
    days = date.fromisoformat(first), date.fromisoformat(last)
    assert [unit for unit in ("year", "quarter", "month", "day") if made_of(*days, unit)] == units.split()


def test_every_number_of_a_summary_has_a_definition():
    shown = {name for entry in entries() for name in entry["shown_as"]}
    summaries = {
        "student": StudentSummary, "teacher": TeacherSummary, "course": CourseSummary,
        "platform": PlatformStats,
    }  # fmt: skip
    assert shown == {f"{name}.{field}" for name, model in summaries.items() for field in model.model_fields}
