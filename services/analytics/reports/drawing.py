"""Charts as typst draws them: places and sizes as shares of the plot, words ready to be set."""

import math
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from babel.dates import format_skeleton

from libs.common.files.typesetting import typeset
from services.analytics.charts import COLORS
from services.analytics.reports.words import say

DAY = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
MOST_ROWS = 16
LONGEST = 70
MOST_LABELS = 12
STEPS = (1, 2, 2.5, 5, 10)
SLICES = frozenset({"pie", "doughnut", "polarArea"})
Words = Callable[[str], dict[str, Any]]
Number = Callable[[Any], str]


def figure(chart: Mapping[str, Any], language: str, number: Number) -> dict[str, Any] | None:
    """What `report.typ` draws of a Chart.js object; None of one without a point."""
    datasets = chart["data"]["datasets"]
    values = [value for dataset in datasets for value in dataset["data"] if value is not None]
    if not values:
        return None

    def words(text: str) -> dict[str, Any]:
        return typeset(say(text, language), language)

    labels = [_label(label, language) for label in chart["data"]["labels"]]
    kind = chart["type"]
    if kind in SLICES:
        body = _slices(labels, datasets[0]["data"], words, number)
    elif kind == "line":
        body = _plot("line", labels, datasets, words, number)
    elif len(labels) <= MOST_ROWS and not all(map(DAY.match, chart["data"]["labels"])):
        body = _rows(labels, datasets, words, number)
    else:
        body = _plot("bar", labels, datasets, words, number)
    many = len(datasets) > 1 and kind not in SLICES
    legend = [{"name": words(d["label"]), "color": _color(place)} for place, d in enumerate(datasets)]
    return {
        "title": words(chart["title"]) if chart["title"] else None,
        "legend": legend if many else [],
        "alt": alternative(chart, language, number),
        **body,
    }


def alternative(chart: Mapping[str, Any], language: str, number: Number) -> str:
    """The chart in words, for who does not see it."""
    labels = [_label(label, language) for label in chart["data"]["labels"]]
    said = [say(chart["title"], language)] if chart["title"] else []
    for dataset in chart["data"]["datasets"]:
        points = [
            f"{say(label, language)} {number(value)}"
            for label, value in zip(labels, dataset["data"], strict=True)
            if value is not None
        ]
        more = ", …" if len(points) > MOST_LABELS else ""
        said.append(f"{say(dataset['label'], language)}: {', '.join(points[:MOST_LABELS])}{more}")
    return ". ".join(said)


def ticks(most: float) -> list[float]:
    """Round numbers from 0 to `most` or just above it, four to six of them."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / 5
    unit = 10 ** math.floor(math.log10(rough))
    step = unit * next(s for s in STEPS if s * unit >= rough * 0.999999)
    return [round(step * n, 10) for n in range(math.ceil(most / step - 1e-9) + 1)]


def _color(place: int) -> str:
    return COLORS[place % len(COLORS)]


def _label(label: Any, language: str) -> str:
    if DAY.match(str(label)):
        return str(format_skeleton("MMMd", date.fromisoformat(label), locale=language))
    return textwrap.shorten(str(label), LONGEST, placeholder=" …")


def _scale(values: Sequence[Sequence[float | None]]) -> list[float]:
    return ticks(max((value for series in values for value in series if value is not None), default=0))


def _plot(
    kind: str, labels: Sequence[str], datasets: Sequence[Any], words: Words, number: Number
) -> dict[str, Any]:
    """Lines or columns over labels from left to right."""
    series = [dataset["data"] for dataset in datasets]
    scale = _scale(series)
    top = scale[-1]
    every = max(1, math.ceil(len(labels) / 8))
    where: Callable[[int], float]
    if kind == "line":
        last = max(1, len(labels) - 1)
        where = lambda n: n / last if len(labels) > 1 else 0.5  # noqa: E731
    else:
        where = lambda n: (n + 0.5) / len(labels)  # noqa: E731
    return {
        "kind": kind,
        "ticks": [{"at": value / top, "label": number(value)} for value in scale],
        "labels": [
            {"at": where(n), "word": words(label)} for n, label in enumerate(labels) if n % every == 0
        ],
        "count": len(labels),
        "series": [
            {
                "color": _color(place),
                "points": [
                    None if value is None else [where(n), min(1.0, max(0.0, value / top))]
                    for n, value in enumerate(values)
                ],
            }
            for place, values in enumerate(series)
        ],
    }


def _rows(labels: Sequence[str], datasets: Sequence[Any], words: Words, number: Number) -> dict[str, Any]:
    """Bars below each other, each group with its label beside it."""
    series = [dataset["data"] for dataset in datasets]
    top = _scale(series)[-1]
    return {
        "kind": "rows",
        "rows": [
            {
                "word": words(label),
                "bars": [
                    {
                        "color": _color(place),
                        "share": 0.0 if values[n] is None else max(0.0, values[n] / top),
                        "label": number(values[n]),
                    }
                    for place, values in enumerate(series)
                ],
            }
            for n, label in enumerate(labels)
        ],
    }


def _slices(
    labels: Sequence[str], values: Sequence[float | None], words: Words, number: Number
) -> dict[str, Any]:
    """Slices of a ring, with what each is beside it; of many, the smallest together."""
    total = sum(value or 0 for value in values) or 1
    return {
        "kind": "slices",
        "slices": [
            {
                "word": words(label),
                "color": _color(n),
                "share": (value or 0) / total,
                "label": number(value),
            }
            for n, (label, value) in enumerate(zip(labels, values, strict=True))
        ][:MOST_LABELS],
    }
