"""A medium task: an HTTP interface with authentication, called in the process itself. Pure."""

from overnight.learning.checks import ProgramCheck
from overnight.learning.coding.building import STYLE, Coding, in_time, python, style, tests, types
from overnight.learning.makers import Draw

_THINGS = ("note", "order", "ticket", "device", "reading", "parcel")
_FIELDS = ("title", "label", "subject", "summary")
TESTS = 12


def api(draw: Draw) -> Coding:
    """Return the task to write a WSGI application that keeps things for those who have a token."""
    thing, field = draw.one("thing", _THINGS), draw.one("field", _FIELDS)
    most, limit = draw.whole("most", 20, 80), draw.whole("limit", 3, 6)
    module = f"{thing}_api"
    facts = {
        "module": f"{module}.py",
        "function": "make_app(token_hashes: frozenset[str])"
        " -> Callable[[dict[str, Any], Callable[..., Any]], list[bytes]]",
        "path": f"/{thing}s",
        "field": f"{field} (text of 1 to {most} characters)",
        "most that one token may keep": str(limit),
    }
    details = (
        "make_app returns a WSGI application (PEP 3333) that keeps things in memory, each application its own. "
        "Bodies are JSON in both directions; every answer but 204 has one, with Content-Type application/json, and an "
        'error is {"error": TEXT}. A request needs the header "Authorization: Bearer TOKEN" where the SHA-256 of TOKEN '
        "(hexadecimal) is one of token_hashes, compared by hmac.compare_digest; without, 401, whatever else is wrong. "
        f'POST to the path with {{FIELD: TEXT}} keeps a thing and answers 201 with {{"id": N, FIELD: TEXT}}, N from 1 '
        "on "
        "in each application; 400 where the body is no JSON object with exactly that field, as text of the right "
        "length; 409 where the token keeps as many as it may. GET of the path answers 200 with the list of the token's "
        "own things, oldest first; GET of PATH/N 200 with the thing, or 404 where there is none or it is another "
        "token's. DELETE of PATH/N takes it away and answers 204 without a body, or 404. Other methods of these paths "
        "answer 405 with an Allow header that names those that there are (such as 'GET, POST'); other paths 404. "
        f"{STYLE}"
    )
    values = {"module": module, "thing": thing, "field": field, "most": most, "limit": limit}
    example = _CLIENT.format(**values) + _EXAMPLE.format(**values)
    return Coding(
        task=f"Write an HTTP interface that keeps {thing}s for those who have a token.",
        facts=facts,
        details=details,
        files={"example.py": example},
        hidden={"hidden_tests.py": _CLIENT.format(**values) + _TESTS.format(**values)},
        answer=(f"{module}.py",),
        verify=(ProgramCheck(name="example", command=python("example.py")), types(f"{module}.py")),
        checks=(
            tests(TESTS),
            ProgramCheck(name="constant time", command=("grep", "-q", "compare_digest(", f"{module}.py")),
            style(f"{module}.py"),
            types(f"{module}.py"),
            in_time(),
        ),
    )


_CLIENT = """import hashlib
import io
import json

from {module} import make_app

APP = make_app(frozenset(hashlib.sha256(one).hexdigest() for one in (b"one", b"two")))


def call(method, path, body=None, token="one", app=None, scheme="Bearer"):
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    environ = {{
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "x", "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1", "CONTENT_LENGTH": str(len(raw)), "CONTENT_TYPE": "application/json",
        "wsgi.input": io.BytesIO(raw), "wsgi.errors": io.StringIO(), "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0), "wsgi.multithread": False, "wsgi.multiprocess": False, "wsgi.run_once": False,
    }}
    if token is not None:
        environ["HTTP_AUTHORIZATION"] = f"{{scheme}} {{token}}"
    seen = {{}}

    def start(status, headers, exc_info=None):
        seen.update(code=int(status.split()[0]), headers={{name.lower(): value for name, value in headers}})

    content = b"".join((app or APP)(environ, start))
    return seen["code"], json.loads(content) if content else None, seen["headers"]
"""

_EXAMPLE = """

assert call("GET", "/{thing}s", token=None)[0] == 401
assert call("POST", "/{thing}s", {{"{field}": "a"}})[:2] == (201, {{"id": 1, "{field}": "a"}})
assert call("GET", "/{thing}s")[1] == [{{"id": 1, "{field}": "a"}}]
"""

_TESTS = """

import pytest


@pytest.fixture
def app():
    return make_app(frozenset(hashlib.sha256(one).hexdigest() for one in (b"one", b"two")))


def test_what_is_kept_is_there(app):
    assert call("POST", "/{thing}s", {{"{field}": "a"}}, app=app)[:2] == (201, {{"id": 1, "{field}": "a"}})
    assert call("POST", "/{thing}s", {{"{field}": "b"}}, app=app)[1]["id"] == 2
    assert [one["id"] for one in call("GET", "/{thing}s", app=app)[1]] == [1, 2]
    assert call("GET", "/{thing}s/2", app=app)[:2] == (200, {{"id": 2, "{field}": "b"}})


def test_without_a_token_there_is_nothing(app):
    for token in (None, "", "three", hashlib.sha256(b"one").hexdigest()):
        assert call("POST", "/{thing}s", {{"{field}": "a"}}, token=token, app=app)[0] == 401
    assert call("GET", "/nowhere", token=None, app=app)[0] == 401
    assert call("GET", "/{thing}s", app=app)[1] == []


def test_a_token_of_another_scheme_is_none(app):
    assert call("GET", "/{thing}s", scheme="Basic", app=app)[0] == 401
    assert call("GET", "/{thing}s", app=app)[0] == 200


def test_each_token_sees_its_own(app):
    call("POST", "/{thing}s", {{"{field}": "a"}}, app=app)
    assert call("GET", "/{thing}s", token="two", app=app)[1] == []
    assert call("GET", "/{thing}s/1", token="two", app=app)[0] == 404
    assert call("DELETE", "/{thing}s/1", token="two", app=app)[0] == 404
    assert call("GET", "/{thing}s/1", app=app)[0] == 200


def test_what_is_deleted_is_gone(app):
    call("POST", "/{thing}s", {{"{field}": "a"}}, app=app)
    assert call("DELETE", "/{thing}s/1", app=app)[:2] == (204, None)
    assert call("GET", "/{thing}s/1", app=app)[0] == 404 and call("DELETE", "/{thing}s/1", app=app)[0] == 404
    assert call("POST", "/{thing}s", {{"{field}": "b"}}, app=app)[1]["id"] == 2


def _bad(body, app):
    code, told, _ = call("POST", "/{thing}s", body, app=app)
    return code == 400 and isinstance(told["error"], str)


def test_a_body_that_is_none_is_refused(app):
    bodies = [b"", b"{{", b"[]", b"3", b"\\xff", {{}}, {{"other": "a"}}]
    assert all(_bad(body, app) for body in bodies)


def test_a_field_that_cannot_be_is_refused(app):
    bodies = [{{"{field}": "a", "other": 1}}, {{"{field}": 3}}, {{"{field}": ""}}, {{"{field}": "x" * ({most} + 1)}}]
    assert all(_bad(body, app) for body in bodies)
    assert call("GET", "/{thing}s", app=app)[1] == []


def test_the_longest_text_is_kept(app):
    assert call("POST", "/{thing}s", {{"{field}": "x" * {most}}}, app=app)[0] == 201


def test_a_token_keeps_so_many_and_no_more(app):
    codes = [call("POST", "/{thing}s", {{"{field}": "a"}}, app=app)[0] for _ in range({limit} + 1)]
    assert codes == [201] * {limit} + [409]
    assert call("POST", "/{thing}s", {{"{field}": "a"}}, token="two", app=app)[0] == 201


def test_other_methods_name_those_that_there_are(app):
    code, _, headers = call("PUT", "/{thing}s", {{}}, app=app)
    assert code == 405 and set(headers["allow"].replace(" ", "").split(",")) == {{"GET", "POST"}}
    code, _, headers = call("POST", "/{thing}s/1", {{}}, app=app)
    assert code == 405 and set(headers["allow"].replace(" ", "").split(",")) == {{"GET", "DELETE"}}


def test_other_paths_are_not_there(app):
    for path in ("/", "/{thing}", "/{thing}s/x", "/{thing}s/1/2", "/{thing}s/0"):
        code, told, headers = call("GET", path, app=app)
        assert code == 404 and "error" in told and headers["content-type"] == "application/json"


def test_each_application_keeps_its_own(app):
    call("POST", "/{thing}s", {{"{field}": "a"}}, app=app)
    other = make_app(frozenset({{hashlib.sha256(b"one").hexdigest()}}))
    assert call("GET", "/{thing}s", app=other)[1] == []
    assert call("POST", "/{thing}s", {{"{field}": "a"}}, app=other)[1]["id"] == 1
"""
