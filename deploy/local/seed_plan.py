"""What the demo learners do, and when: drawn from a fixed seed, so that every machine sees the same weeks.

Nothing here asks the suite anything. Each learner has a generator of their own: more learners do not change
what the first ones do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from deploy.local.demo.catalogue import COURSES
from deploy.local.demo.parts import DemoCourse, Json, Lesson

SEED = 1843
SIZES = {"small": 4, "medium": 60, "large": 400}
"""Learners of each size; the courses are the same."""
WEEKS = 7
AUTHORED = timedelta(weeks=WEEKS + 1)

_FIRST = (
    "Amina", "Björn", "Chiara", "Dawit", "Elif", "Farid", "Greta", "Hana", "Ivan", "Jomo", "Kaya", "Lena",
    "Mateo", "Nadia", "Olu", "Priya", "Quentin", "Rosa", "Samir", "Tuva", "Uma", "Viktor", "Wen", "Zofia",
)  # fmt: skip
_LAST = (
    "Abebe", "Berg", "Costa", "Demir", "Eriksen", "Fofana", "Garcia", "Haddad", "Ito", "Jansen", "Kowalski",
    "Lindt", "Mbeki", "Novak", "Okoye",
)  # fmt: skip
_ZONES = ("Europe/Berlin", "Africa/Nairobi", "America/Bogota", "Asia/Kolkata", "Asia/Riyadh", "UTC")
_WORDS = {
    5: ("Clear, short and useful. I look forward to every lesson.", "The best course that I have taken."),
    4: ("Very good; I would have liked more exercises.", "Well explained, and the quizzes are fair."),
    3: ("Solid, but the second module goes fast.", "Fine for a start."),
    2: ("Too little for me, the examples repeat.",),
    1: ("Not what I had hoped for.",),
}
_ECHOES = (
    "That was my question, too. Thank you!",
    "I drew it, and then it was clear.",
    "The handout helped me here.",
    "Could somebody give another example?",
)
_WORK = (
    "I began with a sketch, then wrote it down. Here is what I found, and what I am not sure of.",
    "My answer in short: it works, within the limits that the lesson names. Details below.",
    "Two attempts failed; the third one holds. I describe all three.",
)
_PRAISE = (
    "Well done.",
    "Good; say more about why.",
    "Careful work. One step is missing.",
    "Clear and short.",
)


@dataclass(frozen=True)
class Person:
    """A learner as `services.identity.admin people` takes them."""

    number: int
    joined_at: datetime
    row: Json


@dataclass(frozen=True)
class Act:
    """One thing that a learner does, or their teacher does for them; `key` names what later acts need."""

    at: datetime
    learner: int
    kind: str
    course: int
    lesson: Lesson | None = None
    value: Any = None
    key: str = ""


@dataclass
class Life:
    """One learner's weeks."""

    number: int
    now: datetime
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(f"{SEED}:{self.number}")
        self.joined = self.now - timedelta(days=self.random.uniform(8, WEEKS * 7))
        self.zone = self.random.choice(_ZONES)
        self.ability = self.random.betavariate(6, 2)
        self.diligence = self.random.betavariate(4, 1.6)

    def person(self) -> Person:
        draw = self.random
        row = {
            "email": f"learner{self.number:03d}@lectern.example", "first_name": draw.choice(_FIRST),
            "last_name": draw.choice(_LAST), "role": "student", "time_zone": self.zone,
            "joined_at": self.joined.isoformat(),
        }  # fmt: skip
        return Person(self.number, self.joined, row)

    def acts(self) -> Iterator[Act]:
        for course in self._chosen():
            yield from (act for act in self._through(course, COURSES[course]) if act.at < self.now)

    def _chosen(self) -> list[int]:
        left = list(range(len(COURSES)))
        chosen = []
        for _ in range(1 + (self.random.random() < 0.65) + (self.random.random() < 0.3)):
            weights = [COURSES[each].draw for each in left]
            chosen.append(self.random.choices(left, weights)[0])
            left.remove(chosen[-1])
        return chosen

    def _through(self, number: int, course: DemoCourse) -> Iterator[Act]:
        draw = self.random
        at = self._evening(self.joined + timedelta(days=draw.expovariate(1 / 2)))
        yield self._act(at, "enroll", number)
        if draw.random() < 0.2:
            yield self._act(at + timedelta(minutes=1), "favorite", number)
        lessons = [lesson for module in course.modules.values() for lesson in module]
        for index, lesson in enumerate(lessons):
            at = self._evening(at + timedelta(days=draw.expovariate(1 / (1.2 + 4 * (1 - self.diligence)))))
            yield from self._study(at, number, lesson)
            if index == 2 and draw.random() < 0.35:
                yield from self._talk(at, number, course)
            if index == len(lessons) * 2 // 3 and draw.random() < 0.6:
                stars = min(5, max(1, round(draw.gauss(course.quality, 0.7))))
                words = draw.choice(_WORDS[stars])
                yield self._act(at + timedelta(minutes=40), "review", number, value=(stars, words))
            if draw.random() < 0.12 * (1 - self.diligence):
                return

    def _study(self, at: datetime, number: int, lesson: Lesson) -> Iterator[Act]:
        minutes = self.random.randint(2, 4)
        for minute in range(1, minutes + 1):
            yield self._act(at + timedelta(minutes=minute), "study", number, lesson, minute * 60)
        done = at + timedelta(minutes=minutes, seconds=30)
        if lesson.quiz:
            right = self._answers(lesson.quiz, self.ability)
            yield self._act(done, "quiz", number, lesson, right)
            if sum(right) < 0.6 * len(right):
                again = self._answers(lesson.quiz, self.ability + 0.3)
                yield self._act(done + timedelta(hours=20), "quiz", number, lesson, again)
        elif lesson.assignment:
            yield self._act(done, "submit", number, lesson, self.random.choice(_WORK))
            share = min(1.0, max(0.2, self.random.gauss(0.5 + 0.5 * self.ability, 0.1)))
            score = round(lesson.assignment["points"] * share)
            graded = self._evening(done + timedelta(hours=self.random.uniform(6, 60)))
            yield self._act(graded, "grade", number, lesson, (score, self.random.choice(_PRAISE)))
        else:
            yield self._act(done, "finish", number, lesson)

    def _answers(self, quiz: Json, chance: float) -> tuple[bool, ...]:
        return tuple(self.random.random() < chance for _ in quiz["questions"])

    def _talk(self, at: datetime, number: int, course: DemoCourse) -> Iterator[Act]:
        """Whoever comes first asks; the teacher answers; later learners agree."""
        draw = self.random
        topic = draw.randrange(len(course.asked))
        key = f"{number}:{topic}"
        question, answer = course.asked[topic]
        yield self._act(at + timedelta(minutes=10), "ask", number, value=question, key=key)
        answered = self._evening(at + timedelta(hours=draw.uniform(3, 30)))
        yield self._act(answered, "answer", number, value=answer, key=key)
        later = answered + timedelta(hours=draw.uniform(1, 20))
        yield self._act(later, "upvote", number, key=key)
        yield self._act(later + timedelta(minutes=1), "echo", number, value=draw.choice(_ECHOES), key=key)

    def _evening(self, at: datetime) -> datetime:
        """The same day at an hour at which people learn, but never earlier."""
        hour = self.random.choices((7, 12, 17, 19, 20, 21), (1, 1, 2, 4, 4, 2))[0]
        wanted = at.replace(hour=hour, minute=self.random.randrange(60), second=self.random.randrange(60))
        return max(at, wanted)

    def _act(
        self,
        at: datetime,
        kind: str,
        course: int,
        lesson: Lesson | None = None,
        value: Any = None,
        key: str = "",
    ) -> Act:
        return Act(at, self.number, kind, course, lesson, value, key)


def people(first: int, last: int, now: datetime) -> list[Person]:
    """Learners `first` to `last` (exclusive), as they were at `now`."""
    return [Life(number, now).person() for number in range(first, last)]


def acts(first: int, last: int, now: datetime) -> list[Act]:
    """Everything that they do before `now`, in order."""
    lives = [Life(number, now) for number in range(first, last)]
    for life in lives:
        life.person()  # its names are drawn first, always
    found = [act for life in lives for act in life.acts()]
    return sorted(found, key=lambda act: (act.at, act.learner))
