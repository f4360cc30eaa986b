"""The console as files: from here alone, under a strict policy, in both languages."""

import re
from importlib.resources import files

import pytest

CONSOLE = files("gateway") / "static" / "console"
SCRIPTS = sorted(
    [*(f.name for f in CONSOLE.iterdir() if f.name.endswith(".js"))]
    + [f"pages/{f.name}" for f in (CONSOLE / "pages").iterdir()]
)


@pytest.mark.parametrize("path", ["/console/", "/console"])
async def test_the_page_loads_from_here_alone(client, path):
    page = await client.get(path)
    assert (page.status, page.get("content-type")) == (200, "text/html; charset=utf-8")
    policy = page.get("content-security-policy")
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    html = page.body.decode()
    assert re.search(r"<script(?! src)|style=|\son\w+=|https?:", html) is None
    for asset in re.findall(r'(?:src|href)="(/console/[^"]+)"', html):
        answer = await client.get(asset)
        assert (answer.status, answer.get("x-content-type-options")) == (200, "nosniff"), asset
        assert (await client.get(asset, f"If-None-Match: {answer.get('etag')}\r\n")).status == 304


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_module_is_served_and_imports_what_is_there(client, name):
    answer = await client.get(f"/console/{name}")
    assert (answer.status, answer.get("content-type")) == (200, "text/javascript; charset=utf-8")
    text = answer.body.decode()
    folder = name.rpartition("/")[0]
    for module in re.findall(r'from "([^"]+)"', text):
        assert module.startswith(("./", "../")), module
        path = f"{folder}/{module}" if folder else module
        path = re.sub(r"[^/]+/\.\./", "", path.replace("./", "", 1) if path.startswith("./") else path)
        assert (await client.get(f"/console/{path.replace('/./', '/')}")).status == 200, module
    assert (
        re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|https?://", text) is None
    )


def test_every_text_has_an_arabic_translation():
    words = (CONSOLE / "i18n.js").read_text()
    translated = dict(re.findall(r'"([^"]+)": "([^"]+)"', words))
    used = set()
    for name in SCRIPTS:
        text = (CONSOLE / name).read_text()
        used |= set(re.findall(r'\bt\("([^"]+)"\)', text)) | set(re.findall(r'title: "([^"]+)", from', text))
    assert len(used) > 100
    assert sorted(used - translated.keys()) == []
    assert [text for text in translated.values() if text.isascii()] == []


async def test_nothing_beside_it_is_served(client):
    for path in (
        "/console/nothing.js",
        "/console/../static/openapi.json",
        "/console/vendor/",
        "/console/pages",
    ):
        assert (await client.get(path)).status in (400, 404), path
