"""JSON page by page, from a real server: every record with its place, and what is wrong in one line."""

import json
import math

import pytest

from overnight.base.config import SourceSettings
from overnight.base.errors import ConfigError, PermanentError, TransientError, UserMistake
from overnight.data.sources import api
from overnight.data.sources.reading import Found, Known, Validators
from overnight.data.templates import expand
from overnight.data.web import Web
from overnight.testing.clock import FakeClock
from web_server import answers, answers_json, redirects, unless_known


def read(web, url, *, region=None, variables=None, known=None, **settings):
    source = SourceSettings(kind="json", url=url, **{"max_retries": 0, "per_second": 1e6, **settings})
    return list(api.pages("films", source, region=region, variables=variables or {}, web=web, known=known or {}))


def titles(pages):
    return [[found.row["t"] for found in page.found] for page in pages]


def known_of(pages):
    return {page.key: Known(validators=page.validators, next=page.next) for page in pages}


def refusal(kind, web, url, **more):
    with pytest.raises(kind) as caught:
        read(web, url, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def films(*names, **more):
    return {"items": [{"t": name} for name in names], **more}


# -- pages


def test_a_list_is_one_page(server, web):
    server.routes["/a"] = answers_json([{"t": 1}, {"t": 2}])
    (page,) = read(web, server.url("/a"))
    assert page.found == [Found("page 1, item 1", {"t": 1}), Found("page 1, item 2", {"t": 2})]
    assert page.next is None


@pytest.mark.parametrize("absolute", [False, True])
def test_pages_follow_addresses(server, web, absolute):
    start = server.url("") if absolute else ""
    server.routes["/a"] = answers_json(films("x", next=f"{start}/b?p=2#part"))
    server.routes["/b"] = answers_json(films("y", next=None))
    pages = read(web, server.url("/a"), records="items", next="next")
    assert titles(pages) == [["x"], ["y"]]
    assert pages[1].found[0].where == "page 2, item 1"
    assert server.paths() == ["/a", "/b?p=2"]


def test_pages_follow_tokens_and_keep_the_query(server, web):
    answer = {None: films("x", meta={"after": "t&1"}), "t&1": films("y", meta={"after": 7}), "7": films("z")}
    server.routes["/a"] = lambda exchange: answers_json(answer[exchange.parameter("after")])(exchange)
    pages = read(web, server.url("/a?q=a,b&flag"), records="items", next="meta.after", next_parameter="after")
    assert titles(pages) == [["x"], ["y"], ["z"]]
    assert server.paths() == ["/a?q=a,b&flag", "/a?q=a,b&flag&after=t%261", "/a?q=a,b&flag&after=7"]


def numbered(server, count, first=1):
    def route(exchange):
        number = int(exchange.parameter("page"))
        body = json.dumps(films(number) if number < first + count else films())
        unless_known(answers(body, ETag=f'"{number}"'), etag=f'"{number}"')(exchange)

    server.routes["/a"] = route


@pytest.mark.parametrize("first", [0, 1])
def test_pages_have_numbers_until_one_is_empty(server, web, first):
    numbered(server, 3, first)
    pages = read(web, server.url("/a?page=9"), records="items", page_parameter="page", first_page=first)
    assert titles(pages) == [[first], [first + 1], [first + 2], []]
    assert server.paths()[:2] == [f"/a?page={first}", f"/a?page={first + 1}"]
    assert [page.next for page in pages] == [str(first + 1), str(first + 2), str(first + 3), None]


def test_no_more_pages_are_read_than_allowed(server, web):
    numbered(server, 9)
    settings = {"records": "items", "page_parameter": "page", "max_pages": 2}
    first, last = read(web, server.url("/a"), **settings)
    assert [found.row for found in first.found] == [{"t": 1}]
    assert last.found == [Found("page 2, item 1", {"t": 2}), Found("page 3", None, "not read: max_pages = 2")]
    assert len(server.asked) == 2


def test_the_last_page_that_may_be_read_is_read_anew_as_it_says_that_more_follows(server, web):
    numbered(server, 9)
    settings = {"records": "items", "page_parameter": "page"}
    known = known_of(read(web, server.url("/a"), **settings))
    again = read(web, server.url("/a"), known=known, max_pages=3, **settings)
    assert [page.found and len(page.found) for page in again] == [None, None, 2]
    # With more pages allowed, it is not passed over with its line still in it.
    further = read(web, server.url("/a"), known=known_of(again), max_pages=4, **settings)
    assert [page.found and len(page.found) for page in further] == [None, None, 1, 2]


def test_the_only_page_is_passed_over_where_nothing_follows(server, web):
    server.routes["/a"] = unless_known(answers_json([{"t": 1}], ETag='"a"'), etag='"a"')
    first = read(web, server.url("/a"), max_pages=1)
    assert len(first[0].found) == 1
    (again,) = read(web, server.url("/a"), max_pages=1, known=known_of(first))
    assert again.found is None


def test_the_first_page_has_records_and_later_ones_may_have_none(server, web):
    numbered(server, 0)
    for settings in ({"page_parameter": "page"}, {"page_parameter": "page", "max_pages": 1}):
        says = refusal(PermanentError, web, server.url("/a"), records="items", **settings)
        assert says == "sources.films: found no records: the list is empty on page 1"
    server.routes["/a"] = answers_json(films("x", next="/b"))
    server.routes["/b"] = answers_json(films(next="/c"))
    server.routes["/c"] = answers_json(films("z"))
    assert titles(read(web, server.url("/a"), records="items", next="next")) == [["x"], [], ["z"]]


def test_unchanged_numbered_pages_are_passed_over_to_the_same_end(server, web):
    numbered(server, 2)
    settings = {"records": "items", "page_parameter": "page"}
    first = read(web, server.url("/a"), **settings)
    again = read(web, server.url("/a"), known=known_of(first), **settings)
    assert [page.found for page in again] == [None, None, None]
    assert [(page.key, page.validators, page.next) for page in again] == [
        (page.key, page.validators, page.next) for page in first
    ]
    numbered(server, 4)
    grown = known_of(first)
    # The page that was empty has changed, and the pages after it are new.
    grown[first[2].key] = Known(validators=Validators(etag='"old"'))
    third = read(web, server.url("/a"), known=grown, **settings)
    assert [page.found for page in third[:2]] == [None, None]
    assert titles(third[2:]) == [[3], [4], []]


def test_an_unchanged_page_leads_on_by_what_is_known(server, web):
    server.routes["/a"] = unless_known(answers_json(films("x", next="/b"), ETag='"a"'), etag='"a"')
    server.routes["/b"] = answers_json(films("y"))
    first = read(web, server.url("/a"), records="items", next="next")
    server.routes["/b"] = answers_json(films("z"))
    again = read(web, server.url("/a"), records="items", next="next", known=known_of(first))
    assert again[0].found is None
    assert titles(again[1:]) == [["z"]]


def test_a_circle_of_pages_ends_with_an_error(server, web):
    server.routes["/a"] = answers_json(films("x", next="/b?token=s3cret"))
    server.routes["/b"] = answers_json(films("y", next="/a"))
    message = refusal(PermanentError, web, server.url("/a"), records="items", next="next")
    assert message == f"sources.films: page 3 is one that was read before: {server.url('/a')}"
    server.routes["/b"] = answers_json(films("y", next="?token=s3cret"))
    message = refusal(PermanentError, web, server.url("/a"), records="items", next="next")
    assert "page 3" in message
    assert "s3cret" not in message


def test_pages_before_an_error_are_there(server, web):
    server.routes["/a"] = answers_json(films("x", next="/b"))
    server.routes["/b"] = answers(status=500)
    source = SourceSettings(kind="json", url=server.url("/a"), records="items", next="next", max_retries=0)
    pages = api.pages("films", source, region=None, variables={}, web=web, known={})
    assert titles([next(pages)]) == [["x"]]
    with pytest.raises(TransientError, match="500 Internal Server Error"):
        next(pages)


@pytest.mark.parametrize(
    "to", ["http://localhost:{port}/b", "//localhost/b", "https://127.0.0.1:{port}/b", "file:///b"]
)
def test_a_page_at_another_origin_is_refused(server, web, to):
    server.routes["/a"] = answers_json(films("x", next=to.format(port=server.port)))
    message = refusal(PermanentError, web, server.url("/a"), records="items", next="next", headers={"Key": "s3cret"})
    assert message.startswith("sources.films.next: leads to ")
    assert message.endswith(f", away from the origin of {server.url('/a')}")
    assert len(server.asked) == 1


def test_pages_after_a_redirect_to_another_origin_are_refused(server, web):
    server.routes["/a"] = redirects(server.url("/b", "localhost"))
    server.routes["/b"] = answers_json(films("x", next="/c"))
    assert "away from the origin" in refusal(PermanentError, web, server.url("/a"), records="items", next="next")


@pytest.mark.parametrize(
    ("value", "settings", "says"),
    [
        (["/b"], {}, "'next' is a list on page 1; an address, or nothing on the last page, is needed"),
        (5, {}, "'next' is a number on page 1; an address"),
        (True, {"next_parameter": "p"}, "'next' is true or false on page 1; text or a whole number"),
        (1.5, {"next_parameter": "p"}, "'next' is a number on page 1; text or a whole number"),
        ("http://[::", {}, "'next' gives something that is no address"),
        ("/b\0", {}, "sources.films.next: 'next' is not text: it holds a NUL, on page 1"),
        ("\ud800", {"next_parameter": "p"}, "'next' is not text: it holds half of a surrogate pair, on page 1"),
    ],
)
def test_what_leads_nowhere_is_named(server, web, value, settings, says):
    server.routes["/a"] = answers_json(films("x", next=value))
    assert says in refusal(PermanentError, web, server.url("/a"), records="items", next="next", **settings)


@pytest.mark.parametrize("end", [None, "", False])
def test_what_says_nothing_ends_the_pages(server, web, end):
    server.routes["/a"] = answers_json(films("x", next=end))
    assert len(read(web, server.url("/a"), records="items", next="next")) == 1


# -- what is asked


def test_variables_and_region_are_in_what_is_asked_and_in_no_key(server, web):
    server.routes["/de%2FAT"] = answers_json(films("x", next="?p=2"))
    url = server.url("/{region}").replace("://", "://me:${PASSWORD}@")
    settings = {"records": "items", "next": "next", "headers": {"X-Key": "Bearer ${KEY}"}, "region": "de/AT"}
    keys = []
    for password in ("one", "two"):
        variables = {"KEY": "s3cret", "PASSWORD": password}
        server.asked.clear()
        with pytest.raises(PermanentError, match="page 3 is one"):
            read(web, url, variables=variables, **settings)
        assert server.paths() == ["/de%2FAT", "/de%2FAT?p=2"]
        assert [asked.headers["x-key"] for asked in server.asked] == ["Bearer s3cret"] * 2
        assert len({asked.headers["authorization"] for asked in server.asked}) == 1
        keys.append(read(web, url, variables=variables, **settings, max_pages=1)[0].key)
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"url": "ftp://h/"}, "sources.films.url: 'ftp://h/' is not allowed"),
        ({"url": "http://${HOST}/"}, "sources.films.url: the environment has no variable 'HOST'"),
        ({"headers": {"Key": "${KEY}"}}, "sources.films.headers.Key: the environment has no variable 'KEY'"),
        ({"records": "items["}, "sources.films.records: 'items[' is no JMESPath expression: "),
        ({"next": ""}, "sources.films.next: '' is no JMESPath expression: "),
    ],
)
def test_settings_that_cannot_be_used_are_named(server, web, settings, says):
    url = settings.pop("url", server.url("/a"))
    assert refusal(ConfigError, web, url, **settings).startswith(says)
    assert server.asked == []


def test_an_address_that_is_forbidden_is_a_mistake(server):
    with pytest.raises(UserMistake, match=r"data\.private_addresses"):
        read(Web(FakeClock(), private_addresses=False), server.url("/a"))


# -- what stands for something


def test_variables_and_the_region_are_put_in_once():
    variables = {"KEY": "${OTHER}{region}", "OTHER": "no"}
    text = expand("https://h/{region}?k=${KEY}&{x}&$KEY", variables, "São/1", "sources.a.url")
    assert text == "https://h/S%C3%A3o%2F1?k=${OTHER}{region}&{x}&$KEY"
    assert expand("${region}{region}${PORT:-80}", {"region": "a"}, "b", "sources.a.url") == "ab80"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${NONE}", "sources.a.url: the environment has no variable 'NONE'"),
        ("${}", 'sources.a.url: has a "${" that names no variable'),
        ("{region}", "sources.a.url: {region} stands for nothing here"),
    ],
)
def test_what_stands_for_nothing_is_named(text, says):
    with pytest.raises(ConfigError) as caught:
        expand(text, {}, None, "sources.a.url")
    assert says in str(caught.value)


# -- what an answer holds


def test_an_item_that_is_no_object_costs_only_itself(server, web):
    server.routes["/a"] = answers_json([{"t": 1}, 2, "x", None, True, [], {"t": 3}])
    (page,) = read(web, server.url("/a"))
    assert [found.row for found in page.found] == [{"t": 1}, None, None, None, None, None, {"t": 3}]
    assert [found.reason for found in page.found[1:6]] == [
        "a number, not an object",
        "text, not an object",
        "nothing, not an object",
        "true or false, not an object",
        "a list, not an object",
    ]
    assert page.found[5].where == "page 1, item 6"


def test_an_item_that_is_empty_or_no_text_costs_only_itself(server, web):
    items = [{"t": 1}, {}, {"t": "a\0"}, {"t": [{"\udc00": 1}]}, {"t": "\U0001f600"}]
    server.routes["/a"] = answers_json(items)
    (page,) = read(web, server.url("/a"))
    assert [found.row for found in page.found] == [{"t": 1}, None, None, None, {"t": "\U0001f600"}]
    assert [found.reason for found in page.found[1:4]] == [
        "empty",
        "not text: it holds a NUL",
        "not text: it holds half of a surrogate pair",
    ]
    server.routes["/a"] = answers(b'[{"t": "\xed\xa0\x80"}]')  # the same, without an escape
    assert read(web, server.url("/a"))[0].found[0].row is None


def test_odd_numbers_are_numbers_and_the_last_of_two_keys_counts(server, web):
    server.routes["/a"] = answers(b'\xef\xbb\xbf[{"a": NaN, "b": -Infinity, "c": 1, "c": 2, "d": 1e999}]')
    (page,) = read(web, server.url("/a"))
    row = page.found[0].row
    assert math.isnan(row.pop("a"))
    assert row == {"b": -math.inf, "c": 2, "d": math.inf}


@pytest.mark.parametrize(
    ("body", "settings", "says"),
    [
        (b"<html>", {}, "sources.films: page 1 is not JSON: Expecting value"),
        (b"", {}, "page 1 is not JSON"),
        (b'[{"a": "\xff"}]', {}, "page 1 is not JSON"),
        (b"[" * 100_000, {}, "sources.films: page 1 is nested too deeply"),
        (b"[" + b"9" * 5000 + b"]", {}, "page 1 is not JSON"),
        (b"{}", {}, "sources.films.records: the answer is an object on page 1; a list of records is needed"),
        (b"{}", {"records": "items"}, "sources.films.records: 'items' is nothing on page 1; a list"),
        (b'{"items": "x"}', {"records": "items"}, "'items' is text on page 1; a list"),
        (b'{"items": 1}', {"records": "keys(items)"}, "sources.films.records: 'keys(items)' fails on page 1: "),
        (b'{"items": []}', {"records": "none(items)"}, "'none(items)' fails on page 1: Unknown function: none()"),
    ],
)
def test_an_answer_that_is_not_what_was_said_is_one_line(server, web, body, settings, says):
    server.routes["/a"] = answers(body)
    assert says in refusal(PermanentError, web, server.url("/a"), **settings)
