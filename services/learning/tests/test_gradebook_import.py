"""Grades taken in from CSV: tried first, all or none, and kept in the history."""

import csv
import io
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.testing.harness import Person
from services.learning.assignments.imports import read
from services.learning.gradebook.queries import CourseGrades, GradeItem, RecordedGrade, SavedPolicy
from services.learning.gradebook.rules import Item, ItemGrade
from services.learning.gradebook.schemas import GradingPolicyUpdate
from services.learning.gradebook.sheets import as_csv
from services.learning.tests.conftest import TRUTH, School, done, refused


class Class:
    """Ada has handed in an essay of ten points, Eve nothing."""

    def __init__(self, school: School) -> None:
        self.school = school

    async def set_up(self, **rules: Any) -> "Class":
        self.course = await self.school.course()
        self.ada = await self.school.enrolled(self.course)
        self.eve = await self.school.enrolled(self.course, "Eve Else")
        self.essay = await self.school.assignment(self.course, title="Essay", points=10, **rules)
        self.path = f"/api/courses/{self.course}/gradebook/"
        self.work = done(
            await self.ada.client.post(
                f"/api/assignments/{self.essay['uuid']}/submissions/", json={"text": "x"}
            ),
            201,
        )
        return self

    async def send(self, text: str | bytes, dry_run: bool = False) -> httpx.Response:
        data = text.encode() if isinstance(text, str) else text
        return await self.school.teacher.client.post(
            f"{self.path}import/",
            files={"file": ("grades.csv", data, "text/csv")},
            data={"dry_run": str(dry_run).lower()},
        )

    async def cells(self, **query: str) -> dict[str, tuple[float | None, str]]:
        grades = done(await self.school.teacher.client.get(self.path, params=query))
        cells = {row["name"]: row["cells"][self.essay["uuid"]] for row in grades["rows"]}
        return {name.partition(" ")[0]: (cell["score"], cell["status"]) for name, cell in cells.items()}

    async def own(self, who: Person) -> dict[str, Any]:
        path = f"/api/assignments/{self.essay['uuid']}/submissions/"
        [row] = done(await who.client.get(path))["results"]
        return row


@pytest.fixture
async def class_(school: School) -> Class:
    return await Class(school).set_up()


async def test_a_dry_run_shows_who_changes_and_writes_nothing(class_: Class, school: School):
    table = f"user,Essay\n{class_.ada.uuid},7.5\n{class_.eve.uuid},(excused)\n"
    facts = await school.published()
    tried = done(await class_.send(table, dry_run=True))
    assert (tried["dry_run"], tried["applied"], tried["errors"], tried["unchanged"]) == (True, False, [], 0)
    assert [(each["row"], each["name"], each["before"], each["after"]) for each in tried["changes"]] == [
        (2, "Ada Lovelace", {"score": None, "status": "submitted"}, {"score": 7.5, "status": "graded"}),
        (3, "Eve Else", {"score": None, "status": "open"}, {"score": None, "status": "excused"}),
    ]
    assert (await school.published(), await class_.cells()) == (
        facts, {"Ada": (None, "submitted"), "Eve": (None, "open")},
    )  # fmt: skip
    applied = done(await class_.send(table))
    assert (applied["changes"], applied["applied"]) == (tried["changes"], True)
    assert await class_.cells() == {"Ada": (7.5, "graded"), "Eve": (None, "excused")}
    again = done(await class_.send(table))
    assert (again["changes"], again["unchanged"]) == ([], 2)
    assert await school.events("submission_graded") == ["submission_graded"] * 2


async def test_the_history_keeps_what_was_before(class_: Class, school: School):
    done(await class_.send(f"user,Essay\n{class_.ada.uuid},4\n"))
    then = school.clock()
    school.clock.advance(days=1)
    changed = done(await class_.send(f"user,{class_.essay['uuid']}\n{class_.ada.uuid},9\n"))["changes"]
    assert (changed[0]["before"]["score"], changed[0]["after"]["score"]) == (4, 9)
    assert (await class_.cells())["Ada"] == (9, "graded")
    assert (await class_.cells(as_of=then.isoformat()))["Ada"] == (4, "graded")
    seen = done(
        await class_.ada.client.get(f"/api/courses/{class_.course}/grades/{class_.ada.uuid}/explain/")
    )
    assert seen["value"] == 90


async def test_who_handed_in_nothing_gets_a_grade_and_may_still_hand_in(class_: Class, school: School):
    done(await class_.send(f"user,Essay\n{class_.eve.uuid},6\n"))
    row = await class_.own(class_.eve)
    assert (row["version"], row["versions"], row["submitted_at"], row["score"]) == (0, [], None, 6)
    assert done(await school.teacher.client.get("/api/submissions/queue/"))["count"] == 1
    path = f"/api/assignments/{class_.essay['uuid']}/submissions/"
    assert done(await class_.eve.client.post(path, json={"text": "Late."}), 201)["version"] == 1
    assert done(await school.teacher.client.get("/api/submissions/queue/"))["count"] == 2


HOSTILE = (
    "final", "Name", "user", "email", "letter", "a;b;c", "a, b", 'say "x"', "two\nlines", "two\r\nlines",
    "=1+1", "+1", "-1", "@sum", "\tx", "'=x", "''=x", "'quoted'", "Essay", "درس ١", "[x]",
    "T [00000020-0000-4000-8000-000000000020]", "00000020-0000-4000-8000-000000000020",
)  # fmt: skip


async def test_what_was_exported_can_be_imported_again_whatever_the_titles(school: School):
    class_ = await Class(school).set_up()
    await school.quiz(class_.course, TRUTH, kind="graded", title="=Quiz")
    for title in HOSTILE:
        await school.assignment(class_.course, title=title, points=5)
    await school.assignment(class_.course, title=f"Mine [{class_.essay['uuid']}]", points=5)
    await school.assignment(class_.course, title=class_.essay["uuid"], points=5)
    work = {"score": 9.25}
    done(await school.teacher.client.patch(f"/api/submissions/{class_.work['uuid']}/grade/", json=work))
    text = (await school.teacher.client.get(f"{class_.path}export/")).text
    items = len(HOSTILE) + 4
    same = done(await class_.send(text))
    assert (same["changes"], same["errors"], same["unchanged"]) == ([], [], 2 * items)
    rows = list(csv.reader(io.StringIO(text, newline="")))
    without_ids = io.StringIO()
    csv.writer(without_ids).writerows(row[1:] for row in rows)
    same = done(await class_.send("\ufeff" + without_ids.getvalue()))
    assert (same["changes"], same["errors"], same["unchanged"]) == ([], [], 2 * items)
    column = next(place for place, name in enumerate(rows[0]) if name.startswith("final ["))
    for row in rows[1:]:
        row[column] = "4"
    changed = io.StringIO()
    csv.writer(changed).writerows(rows)
    moved = done(await class_.send(changed.getvalue()))
    assert sorted((each["name"], each["title"], each["after"]["score"]) for each in moved["changes"]) == [
        ("Ada Lovelace", "final", 4), ("Eve Else", "final", 4),
    ]  # fmt: skip


async def test_a_file_of_an_older_export_is_still_understood(school: School):
    class_ = await Class(school).set_up()
    final = await school.assignment(class_.course, title="final", points=5)
    formula = await school.assignment(class_.course, title="@Plan; the first, really", points=5)
    header = f'user,name,Essay,{final["uuid"]},"\'@Plan; the first, really",current,final,letter'
    text = f"{header}\n{class_.ada.uuid},Ada Lovelace,7,1,2,70,70,\n"
    changes = done(await class_.send(text))["changes"]
    after = {each["item"]: each["after"]["score"] for each in changes}
    assert after == {class_.essay["uuid"]: 7, final["uuid"]: 1, formula["uuid"]: 2}


TITLES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12),
    st.sampled_from(HOSTILE),
)


@given(st.lists(TITLES, min_size=1, max_size=6), st.data())
def test_every_title_goes_out_and_comes_back_as_its_item(titles, data):
    uuids = data.draw(st.lists(st.uuids(version=4), min_size=len(titles), max_size=len(titles), unique=True))
    if len(titles) > 1:
        titles[0] = data.draw(st.sampled_from([titles[0], f"{titles[1]} [{uuids[1]}]", str(uuids[1])]))
    items = [
        GradeItem(Item(uuid, title, Decimal(10)), "assignment", None, True)
        for uuid, title in zip(uuids, titles, strict=True)
    ]
    ada = uuid4()
    item_grades = [
        RecordedGrade(ItemGrade(item.item, "graded", Fraction(place)), Decimal(place), 0, None)
        for place, item in enumerate(items)
    ]
    name = data.draw(TITLES)
    grades = CourseGrades(SavedPolicy(None, 0, GradingPolicyUpdate()), items, {ada: name}, {ada: item_grades})
    text = as_csv(grades, {ada: "'+ada@example.org"})
    for keys in ({}, {"'+ada@example.org": ada}):
        parsed = read(text.replace(str(ada), "") if keys else text, grades, keys)
        assert (parsed.errors, parsed.changes, parsed.unchanged) == ([], [], len(items))


async def test_learners_are_found_by_e_mail_and_only_commas_separate(class_: Class):
    done(await class_.send("EMAIL,Essay\nADA@example.org,7.25\n\n"))
    assert (await class_.cells())["Ada"] == (7.25, "graded")
    refused(await class_.send("email;Essay\nada@example.org;8\n"), 422, "invalid_input")
    refused(await class_.send('email,Essay\nada@example.org,"7,5"\n'), 422, "import_refused")


async def test_a_score_that_is_taken_in_is_not_lowered_for_lateness(school: School):
    due = school.clock() - timedelta(days=1)
    class_ = await Class(school).set_up(due_at=due.isoformat())
    policy = f"/api/courses/{class_.course}/grading-policy/"
    late = {"late": {"unit": "day", "percent": 10, "floor": 0}}
    done(await school.teacher.client.put(policy, json=late))
    done(
        await school.teacher.client.patch(f"/api/submissions/{class_.work['uuid']}/grade/", json={"score": 8})
    )
    assert (await class_.cells())["Ada"] == (7, "graded")
    assert done(await class_.send(f"user,Essay\n{class_.ada.uuid},7\n"))["changes"] == []
    done(await class_.send(f"user,Essay\n{class_.ada.uuid},8\n"))
    assert (await class_.cells())["Ada"] == (8, "graded")


@pytest.mark.parametrize(
    ("rows", "row", "column"),
    [
        (["user,Essay", "{ada},11"], 2, "Essay"),
        (["user,Essay", "{ada},-1"], 2, "Essay"),
        (["user,Essay", "{ada},ten"], 2, "Essay"),
        (["user,Essay", "{ada},NaN"], 2, "Essay"),
        (["user,Essay", "{ada},1.23456"], 2, "Essay"),
        (["user,Essay", "{ada},5", "{ada},6"], 3, "user"),
        (["user,Essay", "{stranger},5"], 2, "user"),
        (["user,Essay", ",5"], 2, "user"),
        (["user,Essay", "{ada},5,6"], 2, ""),
        (["user,Esay", "{ada},5"], 1, "Esay"),
        (["user,Essay,Essay", "{ada},5,6"], 1, "Essay"),
        (["user,Quiz", "{ada},1"], 2, "Quiz"),
        (["user,Twins", "{ada},1"], 1, "Twins"),
        (["user,name", "{ada},Ada"], 1, ""),
    ],
)
async def test_one_bad_row_and_nothing_is_written(class_: Class, school: School, rows, row, column):
    await school.quiz(class_.course, TRUTH, kind="graded", title="Quiz")
    for _ in range(2):
        await school.assignment(class_.course, title="Twins")
    good = f"{class_.eve.uuid}" + ",5" * rows[0].count(",")
    text = "\n".join([*rows, good]).format(ada=class_.ada.uuid, stranger=uuid4())
    if rows[0] in ("user,Quiz", "user,Essay,Essay", "user,name", "user,Twins", "user,Esay"):
        text = text.removesuffix(f"\n{good}")
    facts, before = await school.published(), await class_.cells()
    tried = done(await class_.send(text, dry_run=True))
    assert [(each["row"], each["column"]) for each in tried["errors"]] == [(row, column)]
    problem = refused(await class_.send(text), 422, "import_refused")
    assert problem["errors"][0]["field"] == f"row {row} {column}".strip()
    assert (await school.published(), await class_.cells()) == (facts, before)


@pytest.mark.parametrize(
    "data",
    [b"", b"\n\n", b"\xff\xfe", b"name,Essay\n", b'user,Essay\n"a"b,5\n', b"user,Essay\n" + b"x,\n" * 20_001],
)
async def test_what_is_no_table_is_refused(class_: Class, data: bytes):
    refused(await class_.send(data), 422, "invalid_input")


async def test_an_import_is_for_teachers_and_has_a_file(class_: Class, school: School):
    rival = await school.person("Rita Rival", "teacher")
    table = {"file": ("grades.csv", f"user,Essay\n{class_.ada.uuid},9\n".encode(), "text/csv")}
    for person, status in ((class_.ada, 403), (rival, 404)):
        answer = await person.client.post(f"{class_.path}import/", files=table)
        assert answer.status_code == status
    nothing = await school.teacher.client.post(f"{class_.path}import/", files={"dry_run": (None, "true")})
    refused(nothing, 422, "file_missing")
    odd = await school.teacher.client.post(f"{class_.path}import/", files=table, data={"dry_run": "maybe"})
    refused(odd, 400, "invalid_filter")
    large = {"file": ("grades.csv", b"x" * 4_000_001, "text/csv")}
    answer = await school.teacher.client.post(f"{class_.path}import/", files=large)
    refused(answer, 413, "payload_too_large")
    assert await class_.cells() == {"Ada": (None, "submitted"), "Eve": (None, "open")}


async def test_in_a_group_an_import_gives_grades_of_ones_own(class_: Class, school: School):
    members = [str(class_.ada.uuid), str(class_.eve.uuid)]
    path = f"/api/assignments/{class_.essay['uuid']}/"
    body = {"groups": [{"name": "Red", "members": members}]}
    done(await school.teacher.client.put(f"{path}groups/", json=body))
    done(await class_.ada.client.post(f"{path}submissions/", json={"text": "Ours."}), 201)
    done(await class_.send(f"user,Essay\n{class_.eve.uuid},3\n"))
    work = await class_.own(class_.ada)
    done(await school.teacher.client.patch(f"/api/submissions/{work['uuid']}/grade/", json={"score": 9}))
    assert await class_.cells() == {"Ada": (9, "graded"), "Eve": (3, "graded")}
    assert UUID(work["uuid"]) != UUID((await class_.own(class_.eve))["uuid"])


async def test_a_title_that_is_a_column_of_the_export_is_named_by_its_uuid(class_: Class, school: School):
    final = await school.assignment(class_.course, title="Final", points=100)
    twin = await school.assignment(class_.course, title="Essay", points=100)
    ada = class_.ada.uuid
    problem = done(await class_.send(f"user,Final\n{ada},80\n", dry_run=True))
    assert "uuid" in problem["errors"][0]["message"]
    text = (await school.teacher.client.get(f"{class_.path}export/")).text
    header = text.splitlines()[0].split(",")
    items = (class_.essay, final, twin)
    assert set(header[3:-3]) == {f"{each['title']} [{each['uuid']}]" for each in items}
    moved = done(await class_.send(text.replace("(open)", "7")))
    assert len(moved["changes"]) == 5
    wrong = done(await class_.send(f"user,{final['uuid']}\n{ada},1_0\n", dry_run=True))
    assert wrong["errors"][0]["message"].startswith("must be a number")
