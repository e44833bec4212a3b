"""The web chat's files over HTTP."""

from __future__ import annotations

import json
import re
from contextlib import closing
from http.client import HTTPConnection

import httpx
import pytest

from guardrail.server.page_files import FOLDER
from tests.server.served import PATIENCE


def test_the_page_is_at_the_root(plain: httpx.Client) -> None:
    response = plain.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.content == (FOLDER / "index.html").read_bytes()


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_every_file_of_the_page_is_served_as_what_it_is(plain: httpx.Client, name: str) -> None:
    response = plain.get(f"/page/{name}")
    assert response.content == (FOLDER / name).read_bytes()
    kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "html": "text/html"}
    assert response.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])


def test_the_page_asks_only_for_files_that_are_served_and_by_relative_urls(plain: httpx.Client) -> None:
    urls = re.findall(r'(?:src|href)="([^"#]+)"', plain.get("/").text)
    assert urls
    for url in urls:
        assert not url.startswith(("/", "http")), "an absolute URL breaks where the app is mounted"
        assert plain.get(f"/{url}").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/page/../app.py",
        "/page/..%2fapp.py",
        "/page/%2e%2e/app.py",
        "/page/..%5capp.py",
        "/page/%2fetc%2fpasswd",
        "/page//etc/passwd",
        "/page/index.html%00.js",
        "/page/.",
        "/page/",
    ],
)
def test_nothing_outside_the_folder_can_be_asked_for(plain_server: str, path: str) -> None:
    connection = HTTPConnection(plain_server.removeprefix("http://"), timeout=PATIENCE)  # which sends the path as it stands; other clients tidy it
    with closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 404
        assert json.loads(response.read())["error"]["code"] == "not_found"


@pytest.mark.parametrize("path", ["/", "/page/app.js"])
def test_the_page_may_load_nothing_from_elsewhere_and_run_nothing_inline(plain: httpx.Client, path: str) -> None:
    policy = plain.get(path).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_a_file_that_the_browser_has_is_not_sent_again(plain: httpx.Client) -> None:
    tag = plain.get("/page/app.js").headers["etag"]
    response = plain.get("/page/app.js", headers={"if-none-match": tag})
    assert (response.status_code, response.content) == (304, b"")
