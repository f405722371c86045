"""Whatever a source gives: no more rows than allowed, no secret in what is said or kept, short lines on faults."""

import gzip
import json
import sqlite3
import tracemalloc
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.config import SourceSettings
from overnight.base.errors import ConfigError, OvernightError, PermanentError, TransientError
from overnight.base.hiding import HIDDEN
from overnight.data import asker as asker_module
from overnight.data.asker import Asker
from overnight.data.sources import feed
from overnight.data.sources.hiding import hiding_of
from overnight.data.sources.reading import Found, Known, Validators
from overnight.data.web import Web
from overnight.testing.clock import FakeClock
from web_server import answers, answers_json, redirects, unless_known


@pytest.fixture
def ask(tmp_path):
    clock = FakeClock()
    web = Web(clock, private_addresses=True, pause=clock.advance)

    def ask(known=None, variables=None, told=lambda count: None, region="", **settings):
        limits = {"max_retries": 0, "per_second": 1e6} if "url" in settings else {}
        source = SourceSettings(**{**limits, **settings})
        asker = Asker(project_dir=tmp_path, variables=variables or {}, web=web)
        return list(asker("films", source, region, known or {}, told))

    return ask


def refusal(ask, error=OvernightError, /, **more):
    with pytest.raises(error) as caught:
        ask(**more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def known_of(pages):
    return {page.key: Known(validators=page.validators, next=page.next, rows=len(page.found)) for page in pages}


def numbered(server, *counts):
    """Serve pages of so many rows each at /a?page=1 and on, and an empty one after the last."""

    def route(exchange):
        number = int(exchange.parameter("page"))
        count = counts[number - 1] if number <= len(counts) else 0
        page = answers_json([{"t": number}] * count, ETag=f'"{number}.{count}"', Last_Modified="Mon, 01 Jun 2026")
        unless_known(page, etag=f'"{number}.{count}"')(exchange)

    server.routes["/a"] = route


def counts(pages):
    return [page.found if page.found is None else len(page.found) for page in pages]


def last(pages):
    return pages[-1].found[-1]


# -- rows


def sources_of_nine(folder):
    """Write 9 rows for each kind of source of this machine; yield its settings and the place of row 6."""
    (folder / "a.csv").write_text("id,t\n" + "1,x\n" * 9)
    yield {"kind": "csv", "path": "a.csv"}, "line 7"
    (folder / "a.jsonl").write_text('{"id": 1}\n{}\n' * 4 + '{"id": 1}\n')
    yield {"kind": "jsonl", "path": "a.jsonl"}, "line 6"
    (folder / "in").mkdir()
    for name in "abcdefghi":
        (folder / "in" / name).write_text("x")
    yield {"kind": "folder", "path": "in"}, "f"
    items = "".join(f"<item><title>{n}</title></item>" for n in range(9))
    (folder / "a.xml").write_text(f'<rss version="2.0"><channel>{items}</channel></rss>')
    yield {"kind": "feed", "path": "a.xml"}, "entry 6"
    connection = sqlite3.connect(folder / "a.db")
    connection.executescript("CREATE TABLE film (id)" + "; INSERT INTO film VALUES (1)" * 9)
    connection.close()
    yield {"kind": "sql", "path": "a.db", "query": "SELECT id FROM film"}, "row 6"


def test_no_more_rows_are_read_than_allowed_and_the_last_line_says_so(ask, tmp_path):
    for settings, sixth in sources_of_nine(tmp_path):
        (page,) = ask(max_rows=5, **settings)
        assert len(page.found) == 6, settings
        assert page.found[5] == Found(f"from {sixth} on", None, "not read: max_rows = 5")
        (page,) = ask(max_rows=9, **settings)
        assert len(page.found) == 9
        assert last([page]).reason in (None, "empty")


def test_a_query_without_an_end_ends_at_the_limit(ask, tmp_path):
    sqlite3.connect(tmp_path / "a.db").close()
    endless = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id FROM n"
    (page,) = ask(kind="sql", path="a.db", query=endless, max_rows=2500)
    assert len(page.found) == 2501


def test_a_file_that_was_cut_is_read_anew_and_keeps_the_time_of_its_change(ask, tmp_path):
    (tmp_path / "a.csv").write_text("id\n1\n2\n3\n")
    cut = ask(kind="csv", path="a.csv", max_rows=2)
    assert counts(cut) == [3]
    assert cut[0].validators.last_modified is not None
    whole = ask(kind="csv", path="a.csv", known=known_of(cut))
    assert counts(whole) == [3]
    assert last(whole).row == {"id": "3"}
    assert counts(ask(kind="csv", path="a.csv", known=known_of(whole))) == [None]


def test_rows_are_counted_over_all_pages(ask, server):
    numbered(server, 3, 3, 3)
    settings = {"kind": "json", "url": server.url("/a"), "page_parameter": "page"}
    pages = ask(max_rows=5, **settings)
    assert counts(pages) == [3, 3]
    assert last(pages) == Found("from page 2, item 3 on", None, "not read: max_rows = 5")
    assert (pages[1].validators, pages[1].next) == (Validators(), None)
    assert len(server.asked) == 2
    assert counts(ask(max_rows=6, **settings)) == [3, 3, 1]
    assert counts(ask(max_rows=9, **settings)) == [3, 3, 3, 0]


def test_pages_that_have_not_changed_count_too(ask, server):
    numbered(server, 3, 3, 3)
    settings = {"kind": "json", "url": server.url("/a"), "page_parameter": "page", "max_rows": 7}
    cut = ask(**settings)
    assert counts(cut) == [3, 3, 2]
    again = ask(known=known_of(cut), **settings)
    assert counts(again) == [None, None, 2]
    numbered(server, 5, 3, 3)
    pages = ask(known=known_of(cut), **settings)
    assert counts(pages) == [5, 1]
    assert last(pages) == Found("from page 2 on", None, "not read: max_rows = 7")


def test_a_packed_answer_of_millions_of_empty_objects_is_bounded(ask, server):
    body = gzip.compress(b"[" + b",".join([b"{}"] * 1_000_000) + b"]")
    assert len(body) < 10_000
    server.routes["/a"] = answers(body, Content_Encoding="gzip")
    tracemalloc.start()
    (page,) = ask(kind="json", url=server.url("/a"), max_rows=1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(page.found) == 1001
    assert page.found[999] == Found("page 1, item 1000", None, "empty")
    # What the parser takes: 64 bytes for each object, 8 for its place in the list, 3 for what was sent.
    assert peak < 100_000_000


@pytest.mark.parametrize("tag", ["item", "a:ENTRY"])
def test_of_a_long_feed_only_the_entries_that_are_allowed_are_parsed(ask, server, monkeypatch, tag):
    monkeypatch.setattr(feed, "LONGEST_MENDED", 1000)
    whole = f'<rss version="2.0" xmlns:a="a"><channel><title>\N{OWL}</title>{f"<{tag}></{tag}>" * 500}</channel></rss>'
    assert len(feed._shortened(whole.encode(), 500, "x")) == len(whole.encode())
    short = feed._shortened(whole.encode(), 3, "x").decode()
    assert short == f"{whole.partition('</title>')[0]}</title>{f'<{tag}></{tag}>' * 3}</channel></rss>"
    server.routes["/a"] = answers(whole.replace("a:ENTRY", "item"))
    (page,) = ask(kind="feed", url=server.url("/a"), max_rows=5)
    assert counts([page]) == [6]
    assert last([page]) == Found("from entry 6 on", None, "not read: max_rows = 5")


def test_all_answers_of_a_source_share_the_bytes_that_are_allowed(ask, server):
    server.routes["/a"] = answers_json({"items": [{"t": "x" * 600}], "next": "/b"})
    server.routes["/b"] = answers_json({"items": [{"t": "x" * 600}]})
    settings = {"kind": "json", "url": server.url("/a"), "records": "items", "next": "next"}
    assert counts(ask(max_mb=0.0014, **settings)) == [1, 1]
    says = refusal(ask, PermanentError, max_mb=0.0012, **settings)
    assert says.startswith(f"{server.url('/b')}: the answer is longer, unpacked, than the 5")


def test_progress_is_told_once_for_each_row(ask, server, tmp_path):
    told = []
    numbered(server, 3, 2)
    ask(kind="json", url=server.url("/a"), page_parameter="page", told=told.append)
    (tmp_path / "a.csv").write_text("id\n" + "1\n" * 1200)
    ask(kind="csv", path="a.csv", told=told.append)
    assert told == [3, 2, 0, 500, 500, 200]


# -- secrets


KEY = "My k/y+50%&\u00fc'x\\z"


@pytest.mark.parametrize("encode", [str, lambda key: quote(key, safe=""), lambda key: quote(key, safe="").lower()])
def test_what_a_variable_put_into_an_address_is_in_no_message(ask, server, encode):
    value = encode(KEY) if encode is not str else "My-k%2fy+50"
    variables, url = {"MYKEY": value}, server.url("/${MYKEY}/list?auth=${MYKEY}&q=films")
    says = refusal(ask, PermanentError, kind="json", url=url, variables=variables)
    assert says == f"{server.url('/')}{HIDDEN}/list?auth={HIDDEN}&q=films: 404 Not Found (1 try)"


def test_messages_hide_a_variable_wherever_they_repeat_it(ask, server):
    secret = {"MYKEY": "hunter-of-2"}
    settings = {"kind": "json", "url": server.url("/a?auth=${MYKEY}"), "variables": secret, "next": "next"}
    settings["records"] = "items"
    for route, next_ in [
        (redirects("ftp://h/?x=hunter-of-2"), None),
        (redirects("/gone/HUNTER-OF-2"), None),
        (answers(status=503), None),
        (None, "http://elsewhere/hunter%2Dof%2D2"),
        (None, "?auth=hunter-of-2"),
    ]:
        server.routes["/a"] = route or answers_json({"items": [{"t": 1}], "next": next_})
        says = refusal(ask, **settings)
        assert HIDDEN in says
        assert "hunter" not in says.lower()


def test_of_an_address_in_a_variable_each_part_is_hidden(ask, server):
    variables = {"ADDRESS": server.url("/services/T00000000?auth=abcdefgh")}
    server.routes["/services/T00000000"] = answers_json({"items": [{"t": 1}], "next": "/off/T00000000?auth=abcdefgh"})
    settings = {"kind": "json", "url": "${ADDRESS}", "records": "items", "next": "next"}
    says = refusal(ask, PermanentError, variables=variables, **settings)
    assert says == f"{server.url('/off/')}{HIDDEN}?auth={HIDDEN}: 404 Not Found (1 try)"


def test_what_leads_on_is_not_kept_where_a_secret_is_in_it(ask, server):
    server.routes["/a"] = answers_json({"items": [{"t": 1}], "next": "/b?auth=abc%64-123"}, ETag='"1"')
    server.routes["/b"] = answers_json({"items": [{"t": 2}], "next": "/c"}, ETag='"2"')
    server.routes["/c"] = answers_json({"items": [{"t": 3}]}, ETag='"abcd-123"')
    settings = {"kind": "json", "url": server.url("/a?k=${MYKEY}"), "records": "items", "next": "next"}
    pages = ask(variables={"MYKEY": "abcd-123"}, **settings)
    assert counts(pages) == [1, 1, 1], "what is not kept is still followed"
    assert [page.next for page in pages] == [None, "/c", None]
    assert [page.validators.etag for page in pages] == [None, '"2"', None]


def test_reasons_hide_a_variable_too(ask, monkeypatch):
    reason = Found("page 1", None, "no hunter2 here")
    page = asker_module.Page(key="k", validators=Validators(), found=[reason])
    monkeypatch.setattr(asker_module.api, "pages", lambda *_, **__: iter([page]))
    (page,) = ask(kind="json", url="http://h/${MYKEY}", variables={"MYKEY": "hunter2"})
    assert page.found == [Found("page 1", None, f"no {HIDDEN} here")]


def test_values_of_a_few_letters_and_variables_that_are_not_used_are_no_secrets(ask, server):
    variables = {"LAND": "DE", "LEVEL": "v10", "NAME": "films-of-today", "EMPTY": ""}
    url = server.url("/films-of-today/${LAND}/${LEVEL}${EMPTY}")
    assert refusal(ask, kind="json", url=url, variables=variables) == (
        f"{server.url('/films-of-today/DE/v10')}: 404 Not Found (1 try)"
    )


@given(st.text(min_size=4).filter(lambda text: len(" ".join(text.split())) >= 4), st.data())
def test_no_way_to_write_a_value_shows_it(value, data):
    source = SourceSettings(kind="json", url="http://h/${KEY}")
    ways = [str, repr, lambda sign: quote(sign, safe=""), lambda sign: "".join(f"%{b:02x}" for b in sign.encode())]
    written = "".join(
        way(sign) if way is not repr else repr(sign)[1:-1]
        for sign in value
        for way in [data.draw(st.sampled_from(ways)) if sign.strip() else str]
    )
    hiding = hiding_of("films", source, {"KEY": value})
    assert hiding.text(f"<{written}>") in (f"<{HIDDEN}>", f"<{written.replace(written.strip(), HIDDEN)}>")


# -- messages


def test_a_fault_is_one_line_of_at_most_500_characters(ask, tmp_path):
    (tmp_path / "a.csv").write_text(f'id,"{"x" * 9000}\n",\n1,2,3\n')
    says = refusal(ask, ConfigError, kind="csv", path="a.csv", max_rows=1)
    assert len(says) <= 500
    (tmp_path / "a.db").touch()
    says = refusal(ask, ConfigError, kind="sql", path="a.db", query="SELECT\n" + "x" * 9000)
    assert says.startswith("sources.films.query: a.db: no such column: xxx")
    assert says.endswith("xxx...")
    assert len(says) == 500


def test_a_reason_is_one_line_of_at_most_500_characters(ask, tmp_path):
    sqlite3.connect(tmp_path / "a.db").close()
    query = f"SELECT 1 AS id, x'00' AS \"{'y' * 9000}\""
    (page,) = ask(kind="sql", path="a.db", query=query)
    assert len(page.found[0].reason) == 500


def test_a_secret_is_hidden_before_a_message_is_cut(ask, tmp_path):
    (tmp_path / "a.db").touch()
    for length in range(430, 480):
        query = f"SELECT {'x' * length}hunter2"
        says = refusal(
            ask, kind="sql", url="sqlite:///${FILE}", query=query, variables={"FILE": "a.db", "x": "hunter2"}
        )
        assert "a.db" not in says
    message = "x" * 494 + "hunter2"
    hiding = hiding_of("films", SourceSettings(kind="json", url="http://h/${KEY}"), {"KEY": "hunter2"})
    assert "hun" not in asker_module._said(message, hiding)


def test_the_kind_of_a_fault_stays_and_what_was_not_foreseen_becomes_one(ask, monkeypatch):
    def fails(error):
        def pages(*_, **__):
            raise error
            yield

        monkeypatch.setattr(asker_module.api, "pages", pages)
        return refusal(ask, type(error) if isinstance(error, OvernightError | OSError) else PermanentError,
                       kind="json", url="http://h/${KEY}", variables={"KEY": "hunter2"})  # fmt: skip

    assert fails(TransientError("no hunter2\nhere")) == f"no {HIDDEN} here"
    assert fails(FileNotFoundError(2, "no", "hunter2")) == f"[Errno 2] no: '{HIDDEN}'"
    assert fails(ZeroDivisionError("hunter2")) == f"ZeroDivisionError: {HIDDEN}"


def test_json_that_was_read_is_what_was_sent(ask, server):
    rows = [{"id": n, "nested": [{"a": None}, "x"]} for n in range(3)]
    server.routes["/a"] = answers(json.dumps(rows))
    (page,) = ask(kind="json", url=server.url("/a"), region="")
    assert [one.row for one in page.found] == rows
