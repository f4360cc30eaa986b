"""Modules and lessons as a reader sees them."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.files.storage import Storage
from libs.common.runtime.errors import NotFound
from libs.common.web.richtext import as_html
from services.catalog.access import View
from services.catalog.media.queries import resolved
from services.catalog.rules import shows_body
from services.catalog.versions import Structure, published_structure_of, working_structure

WHICH = ("draft", "published")
MUCH = 20_000
"""Characters that take so long to render that it is done beside the loop."""
Shown = TypeVar("Shown")

LOCKED = (
    "description",
    "text_content",
    "content",
    "text_html",
    "text_source",
    "video_url",
    "file",
    "file_url",
    "file_attachment",
)
OUTLINE = (
    "uuid",
    "module",
    "title",
    "content_type",
    "order",
    "estimated_time_minutes",
    "video_duration",
    "is_preview",
    "is_published",
    "points",
    "requires_submission",
)


async def seen_structure(session: AsyncSession, view: View, which: str | None = None) -> Structure:
    """The structure for a reader: editors get the working one unless `which` asks for the published one."""
    if view.edits and which != "published":
        structure = await working_structure(session, view.course.uuid)
    else:
        structure = await published_structure_of(session, view.course)
    await _resolve(session, [lesson for module in structure for lesson in module["lessons"]])
    return structure


async def _resolve(session: AsyncSession, lessons: Structure) -> None:
    """Fill in the current file of each resource; leave out those whose file is gone."""
    files = await resolved(session, {UUID(each["media"]) for row in lessons for each in row["resources"]})
    for lesson in lessons:
        lesson["resources"] = [
            {
                "media": each["media"],
                "title": each["title"] or file.title,
                "name": file.name,
                "kind": file.kind,
                "media_type": file.media_type,
                "size": file.size,
                "path": file.path,
            }
            for each in lesson["resources"]
            if (file := files.get(each["media"])) is not None
        ]


def find_module(structure: Structure, uuid: UUID) -> dict[str, Any]:
    """Raises NotFound."""
    for module in structure:
        if module["uuid"] == str(uuid):
            return module
    raise NotFound


def find_lesson(structure: Structure, uuid: UUID) -> dict[str, Any]:
    """Raises NotFound."""
    lessons: Structure = [lesson for module in structure for lesson in module["lessons"]]
    for lesson in lessons:
        if lesson["uuid"] == str(uuid):
            return lesson
    raise NotFound


async def show_modules(view: View, structure: Structure, storage: Storage) -> list[dict[str, Any]]:
    lessons = [lesson for module in structure for lesson in module["lessons"]]
    return await _in_thread_if_long(lessons, lambda: [_module(view, module, storage) for module in structure])


async def show_module(view: View, module: dict[str, Any], storage: Storage) -> dict[str, Any]:
    return (await show_modules(view, [module], storage))[0]


async def show_lesson(view: View, lesson: dict[str, Any], storage: Storage) -> dict[str, Any]:
    """A lesson with its body if the reader may see it, otherwise the outline."""
    return await _in_thread_if_long([lesson], lambda: _lesson(view, lesson, storage))


async def _in_thread_if_long(lessons: Structure, show: Callable[[], Shown]) -> Shown:
    """Call `show`, in a thread if the lessons have much text, which takes long to render the first time."""
    size = sum(len(lesson["text_content"]) for lesson in lessons)
    return show() if size < MUCH else await asyncio.to_thread(show)


def _module(view: View, module: dict[str, Any], storage: Storage) -> dict[str, Any]:
    return {
        "uuid": module["uuid"],
        "course": str(view.course.uuid),
        "title": module["title"],
        "description": module["description"],
        "order": module["order"],
        "lessons": [_lesson(view, lesson, storage) for lesson in module["lessons"]],
    }


def _lesson(view: View, lesson: dict[str, Any], storage: Storage) -> dict[str, Any]:
    open_ = shows_body(edits=view.edits, enrolled=view.enrolled, is_preview=lesson["is_preview"])
    shown = {name: lesson[name] for name in OUTLINE} | {
        "course": str(view.course.uuid),
        "duration_minutes": lesson["estimated_time_minutes"],
        "is_completed": UUID(lesson["uuid"]) in view.completed,
        "is_locked": not open_,
    }
    if not open_:
        return shown | dict.fromkeys(LOCKED) | {"resources": []}
    rendered = as_html(lesson["text_content"])
    of = f"lesson:{view.course.uuid}:{lesson['uuid']}"
    file = show_file(lesson["file"], storage, of)
    return shown | {
        "description": lesson["description"],
        "text_content": rendered,
        "content": rendered,
        "text_html": rendered,
        "text_source": lesson["text_content"],
        "video_url": lesson["video_url"],
        "file": file,
        "file_url": file["url"] if file else None,
        "file_attachment": file["url"] if file else None,
        "resources": [show_resource(each, storage, of) for each in lesson["resources"]],
    }


def show_resource(resource: dict[str, Any], storage: Storage, of: str) -> dict[str, Any]:
    """A resource with a signed URL, as a part of the lesson `of`."""
    url = storage.url(resource["path"], resource["media_type"], resource["name"], of)
    return {name: value for name, value in resource.items() if name != "path"} | {"url": url}


def show_file(file: dict[str, Any] | None, storage: Storage, of: str) -> dict[str, Any] | None:
    """The public fields of a stored file, with a signed URL, as a part of the lesson `of`."""
    if file is None:
        return None
    url = storage.url(file["path"], file["media_type"], file["name"], of)
    return {name: value for name, value in file.items() if name != "path"} | {"url": url}
