"""How many certificates one process makes in a second: names in several writings, and with pictures."""

import asyncio
import io
import statistics
import time
from datetime import date
from itertools import cycle, islice

from PIL import Image

from services.learning.certificates.document import PLAIN, Design, render_certificate
from services.learning.certificates.pictures import clean_picture
from tests.bench.figures import Figure

ROUNDS, EACH = 5, 30
LATIN = ("Ada Lovelace", "Grace Hopper", "Nguyễn Thị Ánh", "Юлия Ковалёва")
WRITINGS = (*LATIN, "محمد العربي", "דוד בן־גוריון", "王小明", "佐藤 直美", "김민준", "अनुष्का शर्मा")


def picture() -> bytes:
    out = io.BytesIO()
    Image.effect_noise((600, 200), 40).save(out, "PNG")
    return clean_picture(out.getvalue())


def make(names: tuple[str, ...], look: Design) -> tuple[float, int]:
    """Certificates per second, the median round, and the bytes of one."""
    rates = []
    size = 0
    for number in range(ROUNDS + 1):  # the first one loads fonts and is not counted
        start = time.perf_counter()
        for place, name in enumerate(islice(cycle(names), EACH)):
            code = f"CERT-2026-{number}{place:05d}"
            pdf = render_certificate(
                student_name=name,
                course_title=f"Graph theory, part {place}",
                number=code,
                completed_on=date(2026, 3, 2),
                verification_url=f"https://lectern.example/api/certificates/{code}/verify/",
                design=look,
            )
            size = len(pdf)
        if number:
            rates.append(EACH / (time.perf_counter() - start))
    return statistics.median(rates), size


async def measure() -> list[Figure]:
    look = Design("Diploma", PLAIN.text, "Grace Hopper", "Dean of computing", "#7a1f3a", picture(), picture())
    latin, _ = await asyncio.to_thread(make, LATIN, PLAIN)
    rate, size = await asyncio.to_thread(make, WRITINGS, PLAIN)
    pictured, pictured_size = await asyncio.to_thread(make, WRITINGS, look)
    detail = (
        f"names in seven writings, {size / 1024:.0f} KiB each; {latin:,.0f}/s in Latin and Cyrillic alone;"
        f" {pictured:,.0f}/s with logo and signature, {pictured_size / 1024:.0f} KiB;"
        f" medians of {ROUNDS} rounds of {EACH}"
    )
    return [
        Figure(
            "certificates made per second in one process",
            rate,
            "/s",
            least=20,
            aim=50,
            detail=detail,
            reason="fonts are subset and the page is set anew for each one",
        )
    ]
