"""Objects travel between this process and its children, and what cannot is refused in one line."""

import pytest

from overnight.base.errors import PermanentError, UserMistake
from overnight.base.refs import WorkOrder
from overnight.executors import context
from overnight.executors.context import Context
from overnight.executors.parcels import Parcels, of_main, pack, unpack


def test_a_parcel_comes_out_as_it_went_in():
    given = Parcels()
    given.give("train:a", {"x": [1, 2]})
    assert given.outgoing("train:b") is None
    assert unpack(given.outgoing("train:a")) == given.copy_of("train:a") == {"x": [1, 2]}
    given.keep(7, pack("back"))
    assert (given.take(7), given.take(7)) == ("back", None)


def test_what_cannot_travel_is_one_line():
    with pytest.raises(UserMistake, match="an instance of function cannot be handed to another process"):
        pack(lambda: 0)
    with pytest.raises(PermanentError, match="what was handed over cannot be unpacked"):
        unpack("AAAA")
    assert not of_main(pack({"a": 1}))


def test_a_child_gets_what_was_given_and_hands_back_what_is_not_too_large(monkeypatch):
    order = WorkOrder(run_id=1, token=1, task_id="t", attempt=1, executor="process", args={})
    ctx = Context(order, clock=None, send=lambda figures: None, parcel=pack([1]))
    assert ctx.received() == ctx.received() == [1]
    ctx.hand_back({"y": 2})
    assert unpack(ctx.returned) == {"y": 2}
    assert Context(order, clock=None, send=lambda figures: None).received() is None
    monkeypatch.setattr(context, "MOST_BYTES", 10)
    with pytest.raises(UserMistake, match="str takes 0 MB, too much to be handed back"):
        ctx.hand_back("x" * 100)
