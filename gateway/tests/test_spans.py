"""The gateway's spans, where somebody keeps them."""

from libs.common.testing.harness import eventually
from libs.common.testing.spans import kept_spans

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


async def test_a_request_is_a_span_and_its_service_continues_it(start):
    with kept_spans() as kept:
        client = await (await start()).client()
        answer = await client.get("/api/courses/?secret=1", f"traceparent: {GIVEN}\r\n")
        assert answer.status == 200
        span = await eventually(lambda: kept.by_name().get("GET /api/courses/"))
    assert f"{span.context.trace_id:032x}" == GIVEN[3:35]
    assert f"{span.parent.span_id:016x}" == GIVEN[36:52]
    assert "secret" not in span.to_json()
    assert span.attributes["http.response.status_code"] == 200
