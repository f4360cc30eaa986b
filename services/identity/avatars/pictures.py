"""What an uploaded picture becomes: decoded, turned upright, shrunk and encoded anew; nothing else is kept.

In a bounded thread pool, because it is pure CPU and one takes up to 160 MB.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

from PIL import Image
from PIL.Image import Transpose

from libs.common.logs import get_logger
from services.identity.errors import FileTypeRefused, PictureRefused

log = get_logger(__name__)

SIDE = 512
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
    """The first bytes of a JPEG, PNG or WebP, and an extension of these or none. Raises FileTypeRefused."""
    _, dot, extension = name.rpartition(".")
    is_webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    is_picture = is_webp or head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
    if not is_picture or (dot and extension.lower() not in EXTENSIONS):
        raise FileTypeRefused


def make_avatar(data: bytes) -> bytes:
    """A WebP of at most 512 × 512 pixels without metadata, of the first frame. Raises PictureRefused."""
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


def _encode(image: Image.Image) -> bytes:
    # Reads a JPEG at a fraction of its size where that is enough; other formats ignore it.
    image.draft("RGB", (2 * SIDE, 2 * SIDE))
    image.load()
    turn = _turn(image)
    pixels: Image.Image = image
    if image.mode.startswith("I"):  # 16 bits of grey
        pixels = image.point(lambda value: value / 256).convert("L")
    if pixels.mode not in ("RGB", "RGBA"):
        pixels = pixels.convert("RGBA" if pixels.has_transparency_data else "RGB")
    pixels.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    if turn is not None:
        pixels = pixels.transpose(turn)
    clean = Image.new(pixels.mode, pixels.size)
    clean.paste(pixels)
    out = BytesIO()
    clean.save(out, "WEBP", quality=85)
    return out.getvalue()


def _turn(image: Image.Image) -> Transpose | None:
    """What makes it stand upright. Broken EXIF says nothing."""
    try:
        return UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:
        return None


class Pictures:
    """Makes avatars, a few at a time."""

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")

    async def make_avatar(self, data: bytes) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._pool, make_avatar, data)

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
