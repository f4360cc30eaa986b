"""Pictures that are kept as their owner made them, but for what a camera writes beside the pixels."""

from io import BytesIO
from typing import Any

from PIL import Image, ImageOps, ImageSequence

from libs.common.errors import FileTypeRefused
from libs.common.logs import get_logger

log = get_logger(__name__)

MOST_PIXELS = 50_000_000
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "image/jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    "image/png": ("PNG", {}),
    "image/webp": ("WEBP", {"quality": 95}),
    "image/gif": ("GIF", {}),
}


def without_metadata(data: bytes, media_type: str) -> bytes:
    """The picture decoded and encoded anew in its own format: upright, all frames, without EXIF (where and
    when it was taken). Pure CPU. Raises FileTypeRefused for what is no such picture, or too large a one."""
    name, options = FORMATS[media_type]
    try:
        with Image.open(BytesIO(data), formats=[name]) as image:
            pixels = image.width * image.height * getattr(image, "n_frames", 1)
            if pixels > MOST_PIXELS:
                raise FileTypeRefused(f"the picture has more than {MOST_PIXELS // 1_000_000} million pixels")
            return _encoded(image, name, options)
    except FileTypeRefused:
        raise
    except Exception as error:  # decoders raise whatever malformed data makes them trip over
        log.info("picture_refused", error=repr(error)[:200])
        raise FileTypeRefused("the picture cannot be read") from error


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
