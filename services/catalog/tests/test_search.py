"""Search: ranking, typos, odd words, other scripts."""

import string
import time
from urllib.parse import quote

import pytest
from sqlalchemy import text

from libs.common.testing.harness import Harness, Person
from services.catalog.tests.conftest import School, ok, refused, user_state
from services.catalog.tests.test_lists import titles

ODD = [
    "example.com/?", "http://example.com/%3F?a=b#c", "a@b.c", "a@b.c/?", "mailto:x@y.z?subject=/",
    "/?", "/", "?", "//", "ftp://u:p@h:1/..;/", "\\?\\c:\\", "the of and to", "the or not and",
    "-", "- -x", '"', '"a', "''", ":*", "a:*b", "(a|b)&!c", "<->", "<2>", "a <-> b", "&amp;", "%",
    "_", "\\", "'; DROP TABLE courses; --", "x" * 200, "é" * 200, "🎓", "👩‍🏫 👍🏽", "图论", "グラフ理論",
    "그래프", "مقدمة في الرسوم", "שלום", "Ω≈ç√∫", "\u202e\u200b", "1e309", "-1", "٣٤",
    "a" + "\u0301" * 100, "\t\n\r", "\x7f", "1.2.3.4/24", "<b>x</b>", "2026-03-02T09:00:00Z",
    "&lt;b&gt;",
]  # fmt: skip


async def search(catalog: Harness, words: str) -> list[str]:
    return await titles(catalog.client(), f"search={quote(words)}")


async def test_titles_rank_first_and_typos_are_forgiven(school: School, teacher: Person, catalog: Harness):
    about = "A long walk through many subjects, among which python appears once, in passing."
    await school.published(teacher, "Reading Homer", description=about)
    await school.published(teacher, "Python for economists", tags=["Économie"])
    await school.course(teacher, "Python in secret")
    both = ["Python for economists", "Reading Homer"]
    assert await search(catalog, "python") == both
    assert await search(catalog, "pyhton") == both
    assert await search(catalog, "economie") == ["Python for economists"]
    assert await search(catalog, "tara homer") == ["Reading Homer"]
    assert await search(catalog, "pyth") == both
    assert await search(catalog, "zzzzqqq") == []
    assert len(await titles(catalog.client(), "search=python&sortBy=newest")) == 2


async def test_odd_searches_find_something_or_nothing(school: School, teacher: Person, catalog: Harness):
    await school.published(teacher, "Addresses", description="See https://example.com/a?b=c, or a@b.c. " * 2)
    client = catalog.client()
    pairs = [f"{first}{second}" for first in string.punctuation for second in string.punctuation]
    for words in [*ODD, *pairs, *(f"addresess{pair} /{pair}" for pair in pairs[::7])]:
        answer = await client.get("/api/courses/", params={"search": words, "facets": "true"})
        assert answer.status_code == 200, (words, answer.text)
    for raw in ("%ED%A0%80", "%FF", "%C0%AF", "a%0Ab", "%F0%9F"):
        ok(await client.get(f"/api/courses/?search={raw}"))
    refused(await client.get("/api/courses/", params={"search": "x" * 201}), 400)


async def test_misspelt_words_are_found_in_descriptions_and_outcomes(
    school: School, teacher: Person, catalog: Harness
):
    about = "Photosynthesis, step by step, in leaves that everybody finds on the way to work."
    await school.published(teacher, "Green things", description=about)
    await school.published(teacher, "Cities", learning_outcomes="Read a cadastre")
    await school.course(teacher, "Drafts", description="Xylophones are taught here in secret, for a while.")
    for _ in range(2):
        for misspelt in ("photosinthesis", "phtoosynthesis leaves", "leavse", "Tarra photosinthesis"):
            assert await search(catalog, misspelt) == ["Green things"], misspelt
        assert await search(catalog, "cadaster") == ["Cities"]
        assert await search(catalog, "xylofones") == []
        assert await search(catalog, "zzzzqqq") == []
        await catalog.run_task("catalog.sweep_lexemes")
    for odd in ("it's wrrong", "a&b|c !(d", "\\''quoted\\", "-photosinthesis"):
        await search(catalog, odd)
    async with catalog.db.session() as session:
        words = set(await session.scalars(text("SELECT word FROM course_lexemes")))
    assert {"photosynthesi", "cadastr", "tara"} <= words
    assert "xylophon" not in words


async def test_what_is_published_is_found_within_two_seconds_however_it_is_spelt(
    school: School, teacher: Person, catalog: Harness
):
    near = "Falling stones, kubuntu and slqt, forecasters, a meteorologist called Oxeley."
    await school.published(teacher, "Meteors", description=near)
    other = await school.person("Ottoline Oxley", "teacher")
    await catalog.run_task("catalog.sweep_lexemes")
    begun = time.monotonic()
    fresh = await school.published(
        other, "Meteorology", description="Clouds, fronts and the forecast, " * 4, tags=["Kubernetes", "SQL"]
    )
    # Right; then of the title, the description, tags and the instructor, beside what is nearly the same.
    right, misspelt = ("meteorology", "forecast"), ("meteorolgy", "foercast", "kubernets", "slq", "oxlye")
    for words in (*right, *misspelt):
        assert "Meteorology" in await search(catalog, words), words
    assert time.monotonic() - begun < 2
    path = f"/api/courses/{fresh['uuid']}/"
    ok(await other.client.patch(path, json={"title": "Hydrology", "tags": ["Rivers"]}))
    for words in ("hydrolgy", "rivres"):
        assert await search(catalog, words) == ["Hydrology"], words
    await catalog.deliver(user_state(other.uuid, "Ottoline Quarrington", "teacher"))
    assert await search(catalog, "quarington") == ["Hydrology"]


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("مقدمة في نظرية الرسوم البيانية", "نظرية"),
        ("مقدمة في نظرية الرسوم البيانية", "الرسوم مقدمة"),
        ("图论 入门 课程", "图论"),
        ("图论 入门 课程", "入门 图论"),
        ("図論の基礎", "図論の基礎"),
    ],
)
async def test_other_scripts_are_found(
    school: School, teacher: Person, catalog: Harness, title: str, words: str
):
    await school.published(teacher, title)
    await school.published(teacher, "Optics")
    assert await search(catalog, words) == [title]


@pytest.mark.parametrize(
    ("title", "found", "missed"),
    [
        ("高等数学入门课程", "数学 高等 门课 学 课 课程+数学 高等数学入门课程", "物理 学数 史"),
        ("図論の基礎とアルゴリズム", "図論 論 基礎 アル ゴリズム の 図論+アルゴ", "図書 ガス"),
        (
            "プログラミング言語Python入門",
            "言語 入門 python Python入門 python+言語 入門+PYTHON",
            "java+入門 python+数学",
        ),
        ("C++ 与 Rust 对比", "对比 rust+对比 与 rust", "rust+数学"),
        ("한국어 문법의 이해", "문법 국어 이해 법 한국어+이해", "수학"),
        ("การเขียนโปรแกรมเบื้องต้น", "เขียน โปร ต้น กา", "คณิต"),
        ("ພາສາລາວເບື້ອງຕົ້ນ", "ລາວ ພາ", "ກຂ"),
        ("データ｢ﾊﾟﾀｰﾝ｣", "パターン ﾊﾟﾀ デー", "タデ"),
        ("カ\u3099ラスと文化", "ガラス 文化 ガ", "カラ"),
        ("𠮷野家の歴史", "𠮷野 𠮷 歴史", "吉野"),
    ],
)
async def test_words_of_one_and_two_characters_are_found_inside_titles(
    school: School, teacher: Person, catalog: Harness, title: str, found: str, missed: str
):
    about = "What it is, how it came about, and what it is good for; with exercises. "
    shown = await school.published(teacher, title)
    await school.published(teacher, "Optics", description=about)
    await school.published(teacher, "Later", description=about + title)
    await school.course(teacher, title)
    for words in [each.replace("+", " ") for each in found.split()]:
        assert await search(catalog, words) == [shown["title"], "Later"], words
    for words in [each.replace("+", " ") for each in missed.split()]:
        assert await search(catalog, words) == [], words
    assert "Later" not in await search(catalog, f"{found.split()[0]} -exercises")
    facets = ok(
        await catalog.client().get("/api/courses/", params={"search": found.split()[0], "facets": "true"})
    )
    assert facets["facets"]["level"] == [{"value": "beginner", "count": 2}]


async def test_what_is_near_is_found_beside_what_is_nearest(
    school: School, teacher: Person, catalog: Harness
):
    for title in ("Graphic art", "Graphite", "Graphids", "Graphs", "Granite"):
        await school.published(teacher, title, description="How it came about, and what became of it. " * 2)
    assert set(await search(catalog, "graphix")) == {"Graphic art", "Graphite", "Graphids", "Graphs"}
