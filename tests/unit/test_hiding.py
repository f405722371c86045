"""Secrets are hidden however they are written; what is too short to be one is left."""

import pytest

from overnight.base.hiding import HIDDEN, Hiding

SECRET = "to p's\\ecret"


@pytest.mark.parametrize(
    "written", [SECRET, repr(SECRET), "to%20p%27s%5Cecret", "to+p's%5cecret", "TO  P'S\\ECRET", "to\tp's\\ecret"]
)
def test_a_secret_is_hidden_however_it_is_written(written):
    said = Hiding([SECRET]).text(f"401 for {written}!")
    assert HIDDEN in said and "ecret" not in said.lower() and said.startswith("401 for ")


def test_parts_of_an_address_are_hidden_and_what_is_short_is_left():
    hide = Hiding(["https://host/path/long-token-1?key=another-token&a=b", "DE"])
    assert hide.text("long-token-1, another-token, host, a, DE") == f"{HIDDEN}, {HIDDEN}, host, a, DE"
    assert Hiding([]).text("nothing to hide") == "nothing to hide"
