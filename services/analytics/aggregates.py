"""Aggregates of a projection: sums by dimension, kept by the database with the sign of what changed.

An aggregate is a query over base tables, grouped by its keys; all of its measures are sums. Statement
triggers keep it: of every statement that changes a base table they run the query once over the rows as they
were, taken away, and once over the rows as they are, added (incremental view maintenance by deltas; Gupta and
Mumick, "Maintenance of Materialized Views", 1995). A join is kept from both sides, for only one table changes
in a statement and a projection has one writer. So dashboards read as many rows as there are days, courses and
lessons, however long the history is.

Sums are integers or exact decimals: floats would depend on the order of the events.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Table

from services.analytics import read_models as m
from services.analytics.rules import TAKING_PART

PLACE = re.compile(r"\{(\w+)\} (\w+)")


@dataclass(frozen=True)
class Aggregate:
    """`keys` with their types, `measures` with theirs; `query` names base tables as `{table} alias`.

    `table` is where its measures are columns among others; by default it is a table of its own.
    """

    name: str
    keys: dict[str, str]
    measures: dict[str, str]
    query: str
    table: str = ""

    @property
    def into(self) -> str:
        return self.table or self.name

    @cached_property
    def tables(self) -> list[str]:
        return sorted({table for table, _ in PLACE.findall(self.query)})

    def over(self, **other: str) -> str:
        """The query; `other` names relations that stand for base tables."""
        return PLACE.sub(lambda found: f"{other.get(found[1], found[1])} {found[2]}", self.query)

    def columns_of(self, table: str) -> list[str]:
        """Columns of a base table that the query reads: a change of others changes nothing here."""
        names = {alias for name, alias in PLACE.findall(self.query) if name == table}
        return sorted({c for alias in names for c in re.findall(rf'\b{alias}\."?(\w+)', self.query)})

    def _sums(self, rows: str) -> str:
        """Rows by key, without groups of nothing."""
        sums = ", ".join(f"coalesce(sum({n}), 0)::{kind} AS {n}" for n, kind in self.measures.items())
        some = " OR ".join(f"sum({n}) <> 0" for n in self.measures)
        keys = ", ".join(self.keys)
        return f"SELECT {keys}, {sums} FROM ({rows}) r GROUP BY {keys} HAVING {some}"

    def create(self) -> str:
        columns = [f"{name} {kind}" for name, kind in self.keys.items()]
        columns += [f"{name} {kind} NOT NULL" for name, kind in self.measures.items()]
        keys = ", ".join(self.keys)
        return f"CREATE TABLE {self.name} ({', '.join(columns)}, UNIQUE NULLS NOT DISTINCT ({keys}))"

    def fill(self) -> str:
        """All of it from scratch."""
        return self._add(self._sums(self.over()))

    def _add(self, rows: str) -> str:
        names = ", ".join((*self.keys, *self.measures))
        added = ", ".join(f"{n} = t.{n} + excluded.{n}" for n in self.measures)
        return (
            f"INSERT INTO {self.into} AS t ({names}) {rows}"
            f" ON CONFLICT ({', '.join(self.keys)}) DO UPDATE SET {added}"
        )

    def keep(self, table: str, operation: str) -> str:
        """One statement of the trigger of `table`: what a statement of this kind adds and takes away."""
        names = ", ".join((*self.keys, *self.measures))
        taken = ", ".join((*self.keys, *(f"-{n} AS {n}" for n in self.measures)))
        before, after = _changed(table, operation, self.columns_of(table))
        parts = []
        if after:
            parts.append(f"SELECT {names} FROM ({self.over(**{table: after})}) a")
        if before:
            parts.append(f"SELECT {taken} FROM ({self.over(**{table: before})}) b")
        return self._add(self._sums(" UNION ALL ".join(parts))) + ";"


def _changed(table: str, operation: str, columns: list[str]) -> tuple[str, str]:
    """Relations of the rows as they were and as they are."""
    if operation == "INSERT":
        return "", "new_rows"
    if operation == "DELETE":
        return "old_rows", ""
    found = m.TABLES.tables.get(table, m.DERIVED.tables.get(table))
    assert found is not None, table
    keys = " AND ".join(f'o."{c.name}" = n."{c.name}"' for c in found.primary_key)
    differ = " OR ".join(f'o."{c}" IS DISTINCT FROM n."{c}"' for c in columns)
    pair = f"old_rows o JOIN new_rows n ON {keys} AND ({differ})"
    return f"(SELECT o.* FROM {pair})", f"(SELECT n.* FROM {pair})"


def _quarter(moment: str) -> str:
    """Its quarter of an hour: every time zone's days are made of whole ones."""
    return f"date_bin('15 minutes', {moment}, TIMESTAMPTZ '2000-01-01')"


PART = TAKING_PART.replace("status", "e.status")
COHORT = "date_trunc('week', e.enrolled_at AT TIME ZONE 'UTC')::date"
COUNT, AMOUNT = "bigint", "numeric"
COURSE, AT = {"course": "uuid"}, {"quarter": "timestamptz"}

_ENROLLMENTS = (
    f"SELECT e.course, {_quarter('e.enrolled_at')} AS quarter, 1 AS enrollments, 0 AS completions"
    " FROM {enrollments} e WHERE e.status <> 'waitlisted' AND e.enrolled_at IS NOT NULL"
    f" UNION ALL SELECT e.course, {_quarter('e.completed_at')}, 0, 1"
    " FROM {enrollments} e WHERE e.status <> 'waitlisted' AND e.completed_at IS NOT NULL"
)
_STARTED = "d.started_at IS NOT NULL AND d.is_hidden IS NOT TRUE"
_DISCUSSIONS = (
    f"SELECT d.course, {_quarter('d.started_at')} AS quarter, 1 AS discussions"
    " FROM {discussions} d WHERE " + _STARTED
)
_REPLIES = (
    f"SELECT r.course, {_quarter('r.posted_at')} AS quarter, 1 AS replies"
    " FROM {replies} r WHERE r.posted_at IS NOT NULL AND r.is_deleted IS NOT TRUE"
)

AGGREGATES = [
    Aggregate(
        "people_totals", {"role": "text"}, {"people": COUNT}, "SELECT u.role, 1 AS people FROM {users} u"
    ),
    Aggregate(
        "sign_ups", AT, {"people": COUNT},
        f"SELECT {_quarter('u.date_joined')} AS quarter, 1 AS people FROM {{users}} u",
    ),
    Aggregate(
        "course_totals", COURSE,
        dict.fromkeys(("students", "completed", "not_started", "in_progress"), COUNT) | {"progress": AMOUNT},
        "SELECT e.course, 1 AS students, (e.status = 'completed')::int AS completed,"
        " (e.status <> 'completed' AND e.progress = 0)::int AS not_started,"
        " (e.status <> 'completed' AND e.progress > 0)::int AS in_progress,"
        " e.progress::numeric AS progress FROM {enrollments} e WHERE " + PART,
    ),
    Aggregate(
        "course_enrollments", COURSE | AT, {"enrollments": COUNT, "completions": COUNT}, _ENROLLMENTS
    ),
    Aggregate("platform_enrollments", AT, {"enrollments": COUNT, "completions": COUNT}, _ENROLLMENTS),
    Aggregate(
        "cohorts", COURSE | {"week": "date"}, {"enrolled": COUNT},
        f"SELECT e.course, {COHORT} AS week, 1 AS enrolled"
        " FROM {enrollments} e WHERE " + PART,
    ),
    Aggregate(
        "cohort_weeks", COURSE | {"week": "date", "age": "integer"}, {"active": COUNT},
        f"SELECT e.course, {COHORT} AS week, (w.week - {COHORT}) / 7 AS age, 1 AS active"
        " FROM {enrollments} e JOIN {course_weeks} w ON w.course = e.course AND w.student = e.student"
        f" WHERE {PART}",
    ),
    Aggregate(
        "lesson_reach", COURSE | {"lesson": "uuid"}, {"reached": COUNT},
        "SELECT v.course, v.lesson, 1 AS reached FROM {lesson_visits} v"
        " JOIN {enrollments} e ON e.uuid = v.enrollment WHERE " + PART,
    ),
    Aggregate(
        "lesson_totals", COURSE | {"lesson": "uuid"}, {"completed": COUNT},
        "SELECT l.course, l.lesson, 1 AS completed FROM {lesson_completions} l"
        " JOIN {enrollments} e ON e.uuid = l.enrollment WHERE " + PART,
    ),
    Aggregate(
        "media_plays", COURSE | {"lesson": "uuid", "stretch": COUNT}, {"plays": COUNT},
        "SELECT v.course, v.lesson, v.stretch, v.plays FROM {media} v",
    ),
    Aggregate(
        "media_learners", COURSE | {"lesson": "uuid", "student": "uuid"}, {"stretches": COUNT},
        "SELECT v.course, v.lesson, v.student, 1 AS stretches FROM {media} v",
    ),
    Aggregate(
        # The scores of a question by the score of the whole attempt: few rows, however many attempts.
        "question_scores",
        COURSE | {"quiz": "uuid", "question": "uuid", "kind": "text", "percentage": AMOUNT},
        {"answers": COUNT, "share": AMOUNT},
        "SELECT a.course, a.quiz, (q->>'question')::uuid AS question, q->>'kind' AS kind,"
        " a.percentage::numeric AS percentage, 1 AS answers, (q->>'share')::numeric AS share"
        " FROM {attempts} a CROSS JOIN LATERAL jsonb_array_elements(a.questions) q"
        " WHERE a.percentage IS NOT NULL AND a.quiz IS NOT NULL AND q->>'share' IS NOT NULL",
    ),
    Aggregate(
        "learner_scores", COURSE | {"student": "uuid"}, {"quizzes": COUNT, "score": AMOUNT},
        "SELECT b.course, b.student, 1 AS quizzes, b.best::numeric AS score"
        " FROM {quiz_results} b WHERE b.best IS NOT NULL", "learners",
    ),
    Aggregate(
        "learner_study", COURSE | {"student": "uuid"}, {"seconds": COUNT},
        "SELECT s.course, s.student, s.seconds FROM {study} s", "learners",
    ),
    Aggregate(
        "course_study", COURSE | {"local_date": "date"}, {"seconds": COUNT},
        "SELECT s.course, s.local_date, s.seconds FROM {study} s",
    ),
    Aggregate(
        "platform_study", {"local_date": "date"}, {"seconds": COUNT},
        "SELECT s.local_date, s.seconds FROM {study} s",
    ),
    Aggregate(
        "certificate_totals", COURSE, {"certificates": COUNT},
        "SELECT c.course, 1 AS certificates FROM {certificates} c WHERE NOT c.revoked",
    ),
    Aggregate(
        "certificates_issued", AT, {"certificates": COUNT},
        f"SELECT {_quarter('c.issued_at')} AS quarter, 1 AS certificates FROM {{certificates}} c"
        " WHERE NOT c.revoked AND c.issued_at IS NOT NULL",
    ),
    Aggregate(
        "discussion_totals", COURSE, {"discussions": COUNT, "open_questions": COUNT},
        "SELECT d.course, 1 AS discussions,"
        " (d.discussion_type = 'question' AND NOT d.is_resolved)::int AS open_questions"
        " FROM {discussions} d WHERE " + _STARTED,
    ),
    Aggregate("course_discussions", COURSE | AT, {"discussions": COUNT}, _DISCUSSIONS),
    Aggregate("platform_discussions", AT, {"discussions": COUNT}, _DISCUSSIONS),
    Aggregate("course_replies", COURSE | AT, {"replies": COUNT}, _REPLIES),
    Aggregate("reply_totals", COURSE, {"replies": COUNT}, _REPLIES),
    Aggregate("platform_replies", AT, {"replies": COUNT}, _REPLIES),
    Aggregate(
        "ticket_totals", {"status": "text", "priority": "text", "category": "text"}, {"tickets": COUNT},
        "SELECT t.status, t.priority, t.category, 1 AS tickets FROM {tickets} t",
    ),
    Aggregate(
        "tickets_opened", AT,
        {"opened": COUNT, "answered": COUNT, "response_seconds": AMOUNT, "rated": COUNT, "rating": COUNT},
        f"SELECT {_quarter('t.opened_at')} AS quarter, 1 AS opened,"
        " (t.first_response_at IS NOT NULL)::int AS answered,"
        " coalesce(extract(epoch FROM t.first_response_at - t.opened_at), 0) AS response_seconds,"
        " (t.rating IS NOT NULL)::int AS rated, coalesce(t.rating, 0) AS rating"
        " FROM {tickets} t WHERE t.opened_at IS NOT NULL",
    ),
    Aggregate(
        "tickets_resolved", AT, {"resolved": COUNT},
        f"SELECT {_quarter('t.resolved_at')} AS quarter, 1 AS resolved FROM {{tickets}} t"
        " WHERE t.resolved_at IS NOT NULL",
    ),
    Aggregate(
        "active_users", {"day": "date"}, {"people": COUNT},
        "SELECT a.day, 1 AS people FROM {active_days} a",
    ),
    Aggregate(
        "activity_totals", {"person": "uuid"}, {"activities": COUNT},
        'SELECT a."user" AS person, 1 AS activities FROM {activities} a',
    ),
    Aggregate(
        "activity_kinds", {"kind": "text"}, {"activities": COUNT},
        "SELECT a.kind, 1 AS activities FROM {activities} a",
    ),
]  # fmt: skip


@dataclass(frozen=True)
class Derived:
    """A table that no sum makes: `keep` runs over the new rows of `source`, `{rows}`, and `fill` over all."""

    table: Table
    source: Table
    keep: str
    fill: str = ""

    def filled(self) -> str:
        return self.fill or self.keep.format(rows=self.source.name)


DERIVED = [
    Derived(
        m.learners,
        m.course_days,
        "INSERT INTO learners AS t (course, student, last_day) SELECT course, student, max(local_date)"
        " FROM {rows} GROUP BY 1, 2"
        " ON CONFLICT (course, student) DO UPDATE SET last_day = greatest(t.last_day, excluded.last_day);",
    ),
    Derived(
        m.course_weeks,
        m.course_days,
        "INSERT INTO course_weeks SELECT DISTINCT course, student, date_trunc('week', local_date)::date"
        " FROM {rows} ON CONFLICT DO NOTHING;",
    ),
    Derived(
        m.quiz_results,
        m.attempts,
        "INSERT INTO quiz_results AS t SELECT a.student, a.quiz, (array_agg(a.course))[1], max(a.title),"
        " max(a.percentage), max(a.percentage) FILTER (WHERE a.score_visible)"
        " FROM attempts a JOIN (SELECT DISTINCT student, quiz FROM {rows}) r"
        " ON a.student = r.student AND a.quiz = r.quiz WHERE a.submitted_at IS NOT NULL GROUP BY 1, 2"
        " ON CONFLICT (student, quiz) DO UPDATE SET title = excluded.title, best = excluded.best,"
        " best_visible = excluded.best_visible;",
    ),
    Derived(
        m.returning_days,
        m.active_days,
        """WITH around AS (
    SELECT "user", day, true AS is_new FROM {rows}
    UNION SELECT n."user", x.day, false FROM {rows} n CROSS JOIN LATERAL (
        (SELECT a.day FROM active_days a WHERE a."user" = n."user" AND a.day < n.day
            AND NOT EXISTS (SELECT FROM {rows} o WHERE o."user" = a."user" AND o.day = a.day)
            ORDER BY a.day DESC LIMIT 1)
        UNION ALL
        (SELECT a.day FROM active_days a WHERE a."user" = n."user" AND a.day > n.day
            AND NOT EXISTS (SELECT FROM {rows} o WHERE o."user" = a."user" AND o.day = a.day)
            ORDER BY a.day LIMIT 1)) x
), spans AS (
    SELECT day, lag(day) OVER (PARTITION BY "user" ORDER BY day) AS before, 1 AS people FROM around
    UNION ALL
    SELECT day, lag(day) OVER (PARTITION BY "user" ORDER BY day), -1 FROM around WHERE NOT is_new
)
INSERT INTO returning_days AS t (day, before, people)
SELECT day, before, sum(people) FROM spans GROUP BY day, before HAVING sum(people) <> 0
ON CONFLICT (day, before) DO UPDATE SET people = t.people + excluded.people;""",
        "INSERT INTO returning_days SELECT day, before, count(*) FROM (SELECT day,"
        ' lag(day) OVER (PARTITION BY "user" ORDER BY day) AS before FROM active_days) s GROUP BY 1, 2',
    ),
]


def triggers() -> Iterator[str]:
    """Functions and triggers of every base table whose changes somebody keeps up with."""
    sources = {d.source.name for d in DERIVED} | {t for a in AGGREGATES for t in a.tables}
    for table in sorted(sources):
        for operation in ("INSERT", "UPDATE", "DELETE"):
            statements = [
                derived.keep.format(rows="new_rows")
                for derived in DERIVED
                if derived.source.name == table and operation != "DELETE"
            ]
            statements += [a.keep(table, operation) for a in AGGREGATES if table in a.tables]
            name = f"keep_{table}_{operation.lower()}"
            changed = "old_rows" if operation == "DELETE" else "new_rows"
            # An INSERT … ON CONFLICT fires both triggers, whatever it did.
            body = "\n".join(
                (f"IF NOT EXISTS (SELECT FROM {changed}) THEN RETURN NULL; END IF;", *statements)
            )
            yield (
                # Whoever changes a row, by hand too, changes the aggregates of the same projection.
                f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
                " SET search_path FROM CURRENT AS $keep$ BEGIN\n"
                f"{body}\nRETURN NULL; END $keep$"
            )
            yield (
                f"CREATE OR REPLACE TRIGGER {name} AFTER {operation} ON {table} REFERENCING"
                f" {ROWS[operation]} FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
            )


ROWS = {
    "INSERT": "NEW TABLE AS new_rows",
    "UPDATE": "OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "OLD TABLE AS old_rows",
}
