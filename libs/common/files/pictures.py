"""Pictures from outside: decoded, bounded, turned upright; nothing is kept but the pixels."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from typing import Any, TypeVar

from PIL import Image, ImageOps, ImageSequence
from PIL.Image import Transpose

from libs.common.runtime.errors import FileTypeRefused, LecternError
from libs.common.runtime.logs import get_logger

log = get_logger(__name__)

Made = TypeVar("Made")

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
MOST_PIXELS = 50_000_000
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "image/jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    "image/png": ("PNG", {}),
    "image/webp": ("WEBP", {"quality": 95}),
    "image/gif": ("GIF", {}),
}


@contextmanager
def opened(
    data: bytes,
    formats: tuple[str, ...],
    most_pixels: int,
    refuse: Callable[[str], LecternError],
    unreadable: str,
    *,
    all_frames: bool = False,
) -> Iterator[Image.Image]:
    """The picture, not decoded yet; raises `refuse(reason)` for a larger one, and whenever decoding it fails
    within the block. `all_frames` count together; else the first is meant."""
    try:
        with Image.open(BytesIO(data), formats=formats) as image:
            frames = getattr(image, "n_frames", 1) if all_frames else 1
            if image.width * image.height * frames > most_pixels:
                raise refuse(f"has more than {most_pixels // 1_000_000} million pixels")
            yield image
    except LecternError:
        raise
    except Exception as error:  # decoders raise whatever malformed data makes them trip over
        log.info("picture_refused", error=repr(error)[:200])
        raise refuse(unreadable) from error


def is_picture(name: str, head: bytes) -> bool:
    """Whether these are the first bytes of a JPEG, PNG or WebP, with an extension of these or none."""
    _, dot, extension = name.rpartition(".")
    is_webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    starts_like_one = is_webp or head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
    return starts_like_one and (not dot or extension.lower() in EXTENSIONS)


def shrunk(image: Image.Image, side: int) -> Image.Image:
    """The first frame as RGB or RGBA, upright, at most `side` pixels wide and high."""
    # Reads a JPEG at a fraction of its size where that is enough; other formats ignore it.
    image.draft("RGB", (2 * side, 2 * side))
    image.load()
    turn = _turn(image)
    pixels: Image.Image = image
    if image.mode.startswith("I"):  # 16 bits of grey
        pixels = image.point(lambda value: value / 256).convert("L")
    if pixels.mode not in ("RGB", "RGBA"):
        pixels = pixels.convert("RGBA" if pixels.has_transparency_data else "RGB")
    pixels.thumbnail((side, side), Image.Resampling.LANCZOS)
    return pixels.transpose(turn) if turn is not None else pixels


def _turn(image: Image.Image) -> Transpose | None:
    """What makes it stand upright. Broken EXIF says nothing."""
    try:
        return UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:
        return None


def encoded(pixels: Image.Image, name: str, **options: Any) -> bytes:
    """The pixels and nothing else, in a format of Pillow's."""
    clean = Image.new(pixels.mode, pixels.size)
    clean.paste(pixels)
    out = BytesIO()
    clean.save(out, name, **options)
    return out.getvalue()


class PicturePool:
    """A bounded thread pool: decoding is pure CPU, and one picture takes up to 160 MB."""

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="pictures")

    async def run(self, make: Callable[[bytes], Made], data: bytes) -> Made:
        return await asyncio.get_running_loop().run_in_executor(self._pool, make, data)

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def without_metadata(data: bytes, media_type: str) -> bytes:
    """The picture decoded and encoded anew in its own format: upright, all frames, without EXIF (where and
    when it was taken). Pure CPU. Raises FileTypeRefused for what is no such picture, or too large a one."""
    name, options = FORMATS[media_type]

    def refuse(reason: str) -> FileTypeRefused:
        return FileTypeRefused(f"the picture {reason}")

    with opened(data, (name,), MOST_PIXELS, refuse, "cannot be read", all_frames=True) as image:
        return _encoded(image, name, options)


def _encoded(image: Image.Image, name: str, options: dict[str, Any]) -> bytes:
    out = BytesIO()
    if getattr(image, "n_frames", 1) > 1:
        delays = [frame.info.get("duration", 100) for frame in ImageSequence.Iterator(image)]
        frames = [_bare(frame.copy()) for frame in ImageSequence.Iterator(image)]
        loop = int(image.info.get("loop", 0))
        frames[0].save(
            out, name, save_all=True, append_images=frames[1:], duration=delays, loop=loop, **options
        )
    else:
        _bare(ImageOps.exif_transpose(image)).save(out, name, **options)
    return out.getvalue()


def _bare(image: Image.Image) -> Image.Image:
    image.load()
    for name in set(image.info) - {"transparency"}:
        del image.info[name]
    return image
