"""Exports, as people ask for them through the gateway: tasks write them to the storage, others read them."""

import io
from urllib.parse import urlsplit
from zipfile import ZipFile

from libs.common.runtime.settings import SERVICES
from libs.common.testing.harness import eventually
from tests.support import Json, Visitor

QUERY = {"measures": ["enrollments.count"], "dimensions": ["courses.title"]}
BEGINNINGS = {"parquet": b"PAR1", "xlsx": b"PK\x03\x04"}
PATIENCE = 90


async def _file(who: Visitor, job: str) -> bytes:
    """The file of a job, once it is written."""

    async def ended() -> Json | None:
        found: Json = await who.get(job)
        return found if found["status"] in ("done", "failed", "cancelled") else None

    done = await eventually(ended, PATIENCE)
    assert done["status"] == "done", done
    link = urlsplit(done["result_url"])
    answer = await who.http.get(f"{link.path}?{link.query}")
    assert answer.status_code == 200, f"{link.path}: {answer.status_code} {answer.text[:200]}"
    return answer.content


async def export(teacher: Visitor, learner: Visitor) -> str:
    """A query as Parquet and as a sheet; everything about a learner, to which each service has its part."""
    for kind, beginning in BEGINNINGS.items():
        job = await teacher.post("/api/analytics/exports/", {"query": QUERY, "format": kind}, 202)
        assert (await _file(teacher, f"/api/jobs/analytics/{job['uuid']}/")).startswith(beginning), kind
    job = await learner.post("/api/accounts/users/me/export/", status=202)
    with ZipFile(io.BytesIO(await _file(learner, f"/api/jobs/{job['uuid']}/"))) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) >= {f"{service}.json" for service in SERVICES}
    return f"{' and '.join(BEGINNINGS)} written, a learner's data from {len(SERVICES)} services"
