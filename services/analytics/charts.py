"""Chart.js objects: `{type, title, data: {labels, datasets}}`."""

from collections.abc import Sequence
from typing import Any

COLORS = ("#4f46e5", "#059669", "#d97706", "#dc2626", "#0891b2", "#7c3aed")


def chart(kind: str, title: str, labels: Sequence[Any], **series: Sequence[Any]) -> dict[str, Any]:
    """One chart; each named series is a dataset, in the order given. Pie slices have a color each."""
    slices = kind in ("pie", "doughnut", "polarArea")
    datasets = [
        {
            "label": name.replace("_", " ").capitalize(),
            "data": [float(value) for value in values],
            "backgroundColor": [COLORS[i % len(COLORS)] for i in range(len(values))]
            if slices
            else COLORS[place % len(COLORS)],
            "borderColor": COLORS[place % len(COLORS)],
        }
        for place, (name, values) in enumerate(series.items())
    ]
    return {
        "type": kind,
        "title": title,
        "data": {"labels": [str(label) for label in labels], "datasets": datasets},
    }
