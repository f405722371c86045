"""A mapping takes cells from columns, from nested objects, or by an expression; a wrong one is one line."""

import pytest

from overnight.base.errors import ConfigError
from overnight.data.fields import picker
from overnight.data.records import Unusable


def cells(row, **fields):
    return picker("charts", fields)(row)


def test_without_a_mapping_columns_go_by_their_names():
    row = {"id": 1, "a b": 2}
    assert cells(row) == row


def test_columns_nested_cells_and_expressions_are_found():
    row = {"Full Title": "T", "stats": {"views": 3}, "tags": [{"n": "a"}, {"n": "b"}], "x.y": 5, "x": {"y": 6}}
    found = cells(
        row,
        title='"Full Title"',
        views="stats.views",
        tags="tags[*].n",
        first="tags[0].n",
        dotted="x.y",
        name="Full Title",
    )
    assert found == {"title": "T", "views": 3, "tags": ["a", "b"], "first": "a", "dotted": 5, "name": "T"}


@pytest.mark.parametrize("expression", ["nowhere", "stats.none.deeper", "tags[9]"])
def test_what_is_not_there_is_none(expression):
    assert cells({"stats": 3, "tags": []}, x=expression) == {"x": None}


def test_an_expression_that_does_not_fit_costs_the_row_that_it_does_not_fit():
    assert cells({"tags": [1, 2]}, n="length(tags)") == {"n": 2}
    with pytest.raises(Unusable, match=r"sources\.charts\.fields\.n: 'length\(tags\)' does not fit: "):
        cells({}, n="length(tags)")


@pytest.mark.parametrize("expression", ["a[", "a..b", "", "!!!"])
def test_what_is_neither_a_column_nor_an_expression_is_said_in_one_line(expression):
    with pytest.raises(ConfigError, match=r"sources\.charts\.fields\.x: ") as caught:
        cells({"a": 1}, x=expression)
    assert "\n" not in str(caught.value)
