"""What services tell about themselves is read as it is meant: Prometheus text, paths into JSON, and looks over time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from overnight.resources.idleness import Idleness
from overnight.resources.probes.paths import number_at, parts
from overnight.resources.probes.prometheus import BUILT_IN, totals

# -- Prometheus text


@given(
    st.dictionaries(
        st.text(max_size=12), st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=5
    ),
    st.text(max_size=20),
)
def test_what_the_client_library_writes_is_read_and_added_up(values, help_text):
    registry = CollectorRegistry()
    gauge = Gauge("vllm:num_requests_running", help_text, ["engine"], registry=registry)
    for label, value in values.items():
        gauge.labels(label).set(value)
    Counter("vllm:request_success", help_text, registry=registry).inc(3)
    found = totals(generate_latest(registry).decode())
    assert found["vllm:num_requests_running"] == pytest.approx(sum(values.values()), rel=1e-9, abs=1e-6)
    assert found["vllm:request_success_total"] == 3


def test_the_example_of_the_format_is_read():
    text = (
        "# HELP http_requests_total The total number of HTTP requests.\n"
        "# TYPE http_requests_total counter\n"
        'http_requests_total{method="post",code="200"} 1027 1395066363000\n'
        'http_requests_total{method="post",code="400"}    3 1395066363000\n'
        "\n"
        "# Escaping in label values:\n"
        'msdos_file_access_time_seconds{path="C:\\\\DIR\\\\FILE.TXT",'
        'error="Cannot find file:\\n\\"FILE.TXT\\""} 1.458e9\n'
        "metric_without_timestamp_and_labels 12.47\n"
        'something_weird{problem="division by zero"} +Inf -3982045\n'
        'braces{in="}a{ 5"} 7\n'
        "tabs\t9\t\n"
        "nothing{} NaN\r\n"
    )
    found = totals(text)
    assert math.isnan(found.pop("nothing"))
    assert found == {
        "http_requests_total": 1030,
        "msdos_file_access_time_seconds": 1.458e9,
        "metric_without_timestamp_and_labels": 12.47,
        "something_weird": math.inf,
        "braces": 7,
        "tabs": 9,
    }


def test_histograms_are_read_by_their_parts():
    registry = CollectorRegistry()
    Histogram("t", "h", buckets=(1, 2), registry=registry).observe(1.5)
    found = totals(generate_latest(registry).decode())
    assert (found["t_count"], found["t_sum"]) == (1, 1.5)


@pytest.mark.parametrize(
    "line", ["a", "a b", "1a 2", "a{b 2", 'a{b="c} 2', "a 2 3 4", "a 2 now", "<html>", 'a{b="c"}', "{} 3", "a1.5"]
)
def test_a_line_that_is_none_is_named(line):
    with pytest.raises(ValueError, match=r"^line 2 is no Prometheus text$"):
        totals(f"fine 1\n{line}\n")


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        assert all(isinstance(value, float) for value in totals(text).values())
    except ValueError as error:
        assert "is no Prometheus text" in str(error)


def test_servers_that_have_metrics_are_known_by_their_names():
    assert {kind: names.active for kind, names in BUILT_IN.items()} == {
        "vllm": ("vllm:num_requests_running", "vllm:num_requests_waiting"),
        "tgi": ("tgi_batch_current_size", "tgi_queue_size"),
        "llama.cpp": ("llamacpp:requests_processing", "llamacpp:requests_deferred"),
    }


# -- paths into JSON


def test_a_path_leads_through_names_and_places():
    assert parts("a.b[0][12].c d") == ["a", "b", 0, 12, "c d"]
    assert number_at({"a": [{"b": 3}, {"b": 4.5}]}, "a[1].b") == 4.5
    assert number_at([7], "[0]") == 7


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", "a[", "a[]", "a[x]", "a[-1]", "a]b", "a[0]b"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ValueError, match="is not a path"):
        parts(path)


@pytest.mark.parametrize("document", [{}, {"a": "1"}, {"a": True}, {"a": None}, {"a": [1]}, [1], 1, "a", None])
def test_where_no_number_stands_it_is_said(document):
    with pytest.raises(ValueError, match="the answer has no number at a"):
        number_at(document, "a")


@pytest.mark.parametrize("path", ["a[1]", "a[0].b", "a.b"])
def test_a_path_beyond_the_document_finds_no_number(path):
    with pytest.raises(ValueError, match="no number"):
        number_at({"a": [5]}, path)


# -- idleness


def looks(*told, idle_s=60.0, every_s=10.0):
    """What is known after these looks, each (active, served)."""
    idleness = Idleness()
    for number, (active, served) in enumerate(told):
        idleness = idleness.after(at_s=number * every_s, active=active, served=served, idle_s=idle_s)
    return idleness


def test_a_service_is_idle_from_the_first_look_that_found_nothing():
    assert Idleness().for_s == 0
    assert looks((2.0, 1.0), (0.0, 2.0), (0.0, 2.0), (0.0, 2.0)).for_s == 20


@pytest.mark.parametrize("look", [(1.0, 5.0), (None, 5.0), (None, None)])
def test_work_and_a_failed_look_end_idleness(look):
    assert looks((0.0, 5.0), (0.0, 5.0), look).for_s == 0


def test_a_request_between_two_looks_ends_idleness():
    assert looks((0.0, 5.0), (0.0, 5.0), (0.0, 6.0), (0.0, 6.0)).for_s == 10


def test_a_service_without_a_count_is_judged_by_its_requests():
    assert looks((0.0, None), (0.0, None), every_s=5.0).for_s == 5
    assert looks((0.0, None), (0.0, None)).for_s == 0, "what came and went between such looks was not seen"


def test_looks_too_far_apart_say_nothing_about_the_time_between():
    assert looks((0.0, 1.0), (0.0, 1.0), (0.0, 1.0), idle_s=9).for_s == 0
    assert looks((0.0, 1.0), (0.0, 1.0), (0.0, 1.0), idle_s=10).for_s == 20


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, None]), st.integers(0, 2)), max_size=20))
def test_who_counts_as_idle_had_only_looks_without_work(told):
    idleness = looks(*told)
    count = round(idleness.for_s / 10) + 1 if idleness.for_s else 1
    assert all(active == 0 for active, _ in told[-count:]) or not idleness.for_s
    assert len({served for _, served in told[-count:]}) <= 1
