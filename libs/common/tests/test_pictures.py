"""What a camera writes beside the pixels is gone; the picture is the same."""

from io import BytesIO
from typing import Any

import pytest
from PIL import Image, ImageChops

from libs.common.files.pictures import MOST_PIXELS, without_metadata
from libs.common.runtime.errors import FileTypeRefused

CANARY = "canary-place"
TYPES = ["image/jpeg", "image/png", "image/webp", "image/gif"]


def picture(media_type: str, orientation: int = 1, **options: Any) -> bytes:
    image = Image.linear_gradient("L").resize((60, 40)).convert("RGB")
    exif = Image.Exif()
    exif[0x010E] = CANARY
    exif[0x0112] = orientation
    name = media_type.partition("/")[2].upper()
    out = BytesIO()
    image.save(out, name, **({} if name == "GIF" else {"exif": exif}), **options)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


@pytest.mark.promise("uploads")
@pytest.mark.parametrize("media_type", TYPES)
def test_the_pixels_stay_and_the_metadata_goes(media_type: str) -> None:
    had = picture(media_type, **({"comment": CANARY} if media_type == "image/gif" else {}))
    assert CANARY.encode() in had
    clean = without_metadata(had, media_type)
    assert CANARY.encode() not in clean
    assert not opened(clean).getexif()
    before, after = (opened(data).convert("RGB") for data in (had, clean))
    assert max(ImageChops.difference(before, after).convert("L").tobytes()) <= 6


def test_a_photo_is_turned_upright() -> None:
    assert opened(without_metadata(picture("image/jpeg", orientation=6), "image/jpeg")).size == (40, 60)


def test_an_animation_keeps_its_frames_and_their_time() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    out = BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=[40, 50, 60], comment=CANARY)
    clean = opened(without_metadata(out.getvalue(), "image/gif"))
    delays = []
    for number in range(getattr(clean, "n_frames", 1)):
        clean.seek(number)
        delays.append(clean.info["duration"])
    assert delays == [40, 50, 60]
    assert CANARY.encode() not in without_metadata(out.getvalue(), "image/gif")


@pytest.mark.promise("uploads")
def test_what_is_no_such_picture_is_refused() -> None:
    bomb = BytesIO()
    Image.new("1", (10_000, MOST_PIXELS // 10_000 + 1)).save(bomb, "PNG")
    for data, media_type in (
        (picture("image/png")[:60], "image/png"),
        (picture("image/png"), "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n<script>", "image/png"),
        (bomb.getvalue(), "image/png"),
    ):
        with pytest.raises(FileTypeRefused):
            without_metadata(data, media_type)
