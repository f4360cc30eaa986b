import pytest

from gateway.routes import ROUTES, RouteTable, UnsafePath
from libs.common.runtime.settings import SERVICES

U, V = "11111111-2222-4333-8444-555555555555", "66666666-2222-4333-8444-555555555555"
TABLE = RouteTable()


@pytest.mark.parametrize(
    ("path", "service", "upstream"),
    [
        ("/api/accounts/login", "identity", "/api/accounts/login/"),
        ("/api/accounts/users/me/", "identity", "/api/accounts/users/me/"),
        ("/.well-known/jwks.json", "identity", "/.well-known/jwks.json"),
        ("/api/jobs/" + U, "identity", f"/api/jobs/{U}/"),
        ("/api/courses", "catalog", "/api/courses/"),
        ("/api/courses/courses/", "catalog", "/api/courses/"),
        (f"/api/courses/courses/{U}", "catalog", f"/api/courses/{U}/"),
        (f"/api/courses/{U}/publish/", "catalog", f"/api/courses/{U}/publish/"),
        (f"/api/courses/{U}/lessons/{V}/upload", "catalog", f"/api/courses/{U}/lessons/{V}/upload/"),
        ("/api/courses/teacher", "catalog", "/api/courses/teacher/"),
        ("/api/courses/courses/teacher/students", "learning", "/api/courses/teacher/students/"),
        (f"/api/courses/courses/{U}/enroll/", "learning", f"/api/courses/{U}/enroll/"),
        (f"/api/courses/{U}/unenroll/", "learning", f"/api/courses/{U}/unenroll/"),
        (f"/api/courses/{U}/lessons/{V}/complete/", "learning", f"/api/courses/{U}/lessons/{V}/complete/"),
        (f"/api/courses/{U}/lessons/{V}/progress/", "learning", f"/api/courses/{U}/lessons/{V}/progress/"),
        (f"/api/courses/{U}/lessons/{V}/notes/", "learning", f"/api/courses/{U}/lessons/{V}/notes/"),
        (f"/api/courses/{U}/lessons/{V}/", "catalog", f"/api/courses/{U}/lessons/{V}/"),
        (f"/api/courses/{U}/gradebook/export/", "learning", f"/api/courses/{U}/gradebook/export/"),
        (f"/api/courses/{U}/grades/me/", "learning", f"/api/courses/{U}/grades/me/"),
        (f"/api/courses/{U}/grading-policy/", "learning", f"/api/courses/{U}/grading-policy/"),
        (f"/api/courses/{U}/analytics/", "analytics", f"/api/courses/{U}/analytics/"),
        (f"/api/attempts/{U}/answers/{V}/", "learning", f"/api/attempts/{U}/answers/{V}/"),
        (
            "/api/certificates/CERT-2026-ABCDEF/verify",
            "learning",
            "/api/certificates/CERT-2026-ABCDEF/verify/",
        ),
        ("/api/categories/web-design/", "catalog", "/api/categories/web-design/"),
        ("/api/core/media/", "catalog", "/api/core/media/"),
        ("/api/core/discussions/", "forum", "/api/core/discussions/"),
        (f"/ws/chat/{U}", "forum", f"/ws/chat/{U}/"),
        ("/api/core/notifications/unread-count", "notify", "/api/core/notifications/unread-count/"),
        ("/api/ws-ticket", "notify", "/api/ws-ticket/"),
        ("/ws/notifications", "notify", "/ws/notifications/"),
        (f"/api/core/support-tickets/{U}/messages/", "support", f"/api/core/support-tickets/{U}/messages/"),
        ("/api/core/analytics/student", "analytics", "/api/core/analytics/student/"),
        ("/api/core/student-analytics", "analytics", "/api/core/analytics/student/"),
        ("/api/core/platform-analytics/", "analytics", "/api/core/analytics/platform/"),
        ("/api/core/dashboard/summary/", "analytics", "/api/core/dashboard/summary/"),
        ("/media/catalog/thumbnails/a.png", "catalog", "/media/catalog/thumbnails/a.png"),
    ],
)
def test_a_path_reaches_its_service_in_canonical_form(path, service, upstream):
    for _ in range(2):  # found, then remembered
        match = TABLE.match(path)
        assert match is not None
        assert (match.route.service, match.path) == (service, upstream)


def test_a_path_has_one_spelling():
    for path, upstream in (
        ("/api/accounts/%6cogin", "/api/accounts/login/"), ("/%61pi/courses/%7Ex/", "/api/courses/~x/"),
        ("/api/courses/caf%c3%a9/", "/api/courses/caf%C3%A9/"), ("/api/courses/a%3bb", "/api/courses/a%3Bb/"),
        ("/api/courses/%256c/", "/api/courses/%256c/"), ("/api/courses/%63ourses/x/", "/api/courses/x/"),
    ):  # fmt: skip
        match = TABLE.match(path)
        assert match is not None
        assert match.path == upstream


@pytest.mark.parametrize(
    "path", ["/", "/api/", "/api/nothing/", "/media/", "/ws/chat/x/", "/api/accountsx/login/"]
)
def test_other_paths_have_no_route(path):
    assert TABLE.match(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/api/courses/../accounts/", "/api/./courses/", "/api//courses/", "/media/catalog/..%2fsecret",
        "/media/catalog/%2e%2e/x", "/api/courses/%00", "/api\\courses/", "/api/courses/%zz", "api/courses/",
        "/media/catalog/..%5cx", "/api/courses/\xff", "/api/courses/..",
    ],
)  # fmt: skip
def test_paths_that_can_be_read_in_two_ways_are_refused(path):
    with pytest.raises(UnsafePath):
        TABLE.match(path)


def test_every_route_has_a_service_and_an_upload_limit_where_it_takes_files():
    assert {route.service for route in ROUTES} == set(SERVICES)
    assert all(route.template.startswith("/") for route in ROUTES)
    match = TABLE.match("/api/core/media/")
    assert match is not None
    assert match.route.body == 512 * 1024 * 1024


def test_a_template_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        RouteTable((*ROUTES, ROUTES[0]))


def test_the_memory_of_paths_is_bounded():
    table = RouteTable()
    for number in range(9000):
        table.match(f"/media/catalog/{number}")
    assert len(table._found) <= 8192
    table.match("/media/catalog/" + "x" * 300)
    assert all(len(path) <= 256 for path in table._found)
