"""A test that says so costs what it costs without the count of lines."""

import sys

import pytest


@pytest.mark.no_cover
def test_a_test_with_this_mark_is_traced_by_nobody():
    assert sys.gettrace() is None
