"""What an uploaded picture becomes: decoded, turned upright, shrunk and encoded anew; nothing else is kept.

In a bounded thread pool, because it is pure CPU and one takes up to 160 MB.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

from PIL import Image
from PIL.Image import Transpose

from libs.common.logs import get_logger
from services.catalog.errors import PictureRefused

log = get_logger(__name__)

WIDTHS = (320, 640, 1280)
"""Pixels of the variants' widths; a smaller picture is not blown up."""
MOST_PIXELS = 40_000_000
FORMATS = ("JPEG", "PNG", "WEBP")
EXTENSIONS = frozenset({"jpg", "jpeg", "jpe", "jfif", "png", "webp"})
ORIENTATION = 0x0112
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def check_type(name: str, head: bytes) -> None:
    """The first bytes of a JPEG, PNG or WebP, and an extension of these or none. Raises PictureRefused."""
    _, dot, extension = name.rpartition(".")
    is_webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    is_picture = is_webp or head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
    if not is_picture or (dot and extension.lower() not in EXTENSIONS):
        raise PictureRefused("must be a JPEG, PNG or WebP")


def make_variants(data: bytes) -> dict[int, bytes]:
    """WebP of each width without metadata, of the first frame. Raises PictureRefused."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise PictureRefused(f"has more than {MOST_PIXELS // 1_000_000} million pixels")
            return _encode(image)
    except PictureRefused:
        raise
    except Exception as error:  # decoders raise whatever malformed data makes them trip over
        log.info("picture_refused", error=repr(error)[:200])
        raise PictureRefused("cannot be read as a picture") from error


def _encode(image: Image.Image) -> dict[int, bytes]:
    # Reads a JPEG at a fraction of its size where that is enough; other formats ignore it.
    image.draft("RGB", (2 * WIDTHS[-1], 2 * WIDTHS[-1]))
    image.load()
    turn = _turn(image)
    pixels: Image.Image = image
    if image.mode.startswith("I"):  # 16 bits of grey
        pixels = image.point(lambda value: value / 256).convert("L")
    if pixels.mode not in ("RGB", "RGBA"):
        pixels = pixels.convert("RGBA" if pixels.has_transparency_data else "RGB")
    pixels.thumbnail((2 * WIDTHS[-1], 2 * WIDTHS[-1]), Image.Resampling.LANCZOS)
    if turn is not None:
        pixels = pixels.transpose(turn)
    made = {}
    for width in reversed(WIDTHS):
        pixels.thumbnail((width, 2 * width), Image.Resampling.LANCZOS)
        clean = Image.new(pixels.mode, pixels.size)
        clean.paste(pixels)
        out = BytesIO()
        clean.save(out, "WEBP", quality=85)
        made[width] = out.getvalue()
    return made


def _turn(image: Image.Image) -> Transpose | None:
    """What makes it stand upright. Broken EXIF says nothing."""
    try:
        return UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:
        return None


class Pictures:
    """Makes variants, a few pictures at a time."""

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")

    async def make_variants(self, data: bytes) -> dict[int, bytes]:
        return await asyncio.get_running_loop().run_in_executor(self._pool, make_variants, data)
