"""The fixed words of certificates, in the language of the course."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Labels:
    """What every certificate says, in the language of the course."""

    title: str
    certifies: str
    completed: str
    dated: str
    numbered: str
    check: str
    months: tuple[str, ...]

    def day(self, day: date) -> str:
        return f"{day.day} {self.months[day.month - 1]} {day.year}"


ENGLISH = Labels(
    "Certificate of completion", "This certifies that", "has completed the course", "Date", "Number",
    "Check it at",
    ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
     "November", "December"),
)  # fmt: skip
ARABIC = Labels(
    "شهادة إتمام", "تشهد هذه الوثيقة بأن", "قد أتم الدورة", "التاريخ", "الرقم", "للتحقق منها:",
    ("يناير", "فبراير", "مارس", "أبريل", "مايو", "يونيو", "يوليو", "أغسطس", "سبتمبر", "أكتوبر", "نوفمبر",
     "ديسمبر"),
)  # fmt: skip


def labels_in(language: str) -> Labels:
    """Arabic or English, as the mails of the suite are."""
    return ARABIC if language.lower().startswith("ar") else ENGLISH
