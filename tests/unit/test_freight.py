"""Messages and files over a pair of pipes: what is cut, damaged or badly named never takes a file's place."""

import io
import json

import pytest

from overnight.training.freight import Broken, Receiver, Sender, digest_of, inside


def shipped(*files):
    pipe = io.BytesIO()
    sender = Sender(pipe)
    for name, path in files:
        sender.ship(name, path)
    return pipe.getvalue()


def receiver(data, folder):
    return Receiver(io.BytesIO(data), lambda name: inside(folder, name))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "sent.bin"
    path.write_bytes(bytes(range(256)) * 9000)
    return path


def test_files_and_messages_arrive_in_their_order(tmp_path, file):
    empty = tmp_path / "empty"
    empty.touch()
    pipe = io.BytesIO()
    sender = Sender(pipe)
    sender.tell({"a": "ä\n"})
    sender.ship("x/y.bin", file)
    sender.ship("empty", empty)
    sender.tell({"b": 2})
    there = receiver(pipe.getvalue(), tmp_path / "there")
    assert [there.next() for _ in range(5)] == [{"a": "ä\n"}, {"file": "x/y.bin"}, {"file": "empty"}, {"b": 2}, None]
    assert digest_of(tmp_path / "there" / "x" / "y.bin") == digest_of(file)
    assert (tmp_path / "there" / "empty").read_bytes() == b""


@pytest.mark.parametrize("share", [0.0005, 0.5, 0.99999])
def test_a_connection_that_ends_within_a_file_leaves_the_old_one(tmp_path, file, share):
    old = tmp_path / "there" / "f"
    old.parent.mkdir()
    old.write_text("old")
    data = shipped(("f", file))
    there = receiver(data[: int(len(data) * share)], tmp_path / "there")
    with pytest.raises(Broken):
        there.next()
    assert old.read_text() == "old"


def test_a_byte_that_changed_on_the_way_is_noticed(tmp_path, file):
    data = bytearray(shipped(("f", file)))
    data[len(data) // 2] ^= 1
    with pytest.raises(Broken, match="'f' did not arrive as it was sent"):
        receiver(bytes(data), tmp_path / "there").next()
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../../x", "a//b", ".", "a\0b"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, file, name):
    with pytest.raises(Broken, match="no name of a file below"):
        receiver(shipped((name, file)), tmp_path / "there").next()


@pytest.mark.parametrize("line", [b"Welcome to gpu1!\n", b"[1]\n", b"[" * 100_000 + b"\n", b"\xff\n"])
def test_what_is_no_message_is_refused(tmp_path, line):
    with pytest.raises(Broken, match="no message"):
        receiver(line, tmp_path).next()


def test_sending_to_nobody_is_told():
    class Gone(io.BytesIO):
        def write(self, data):
            raise BrokenPipeError

    with pytest.raises(Broken):
        Sender(Gone()).tell(json.loads("{}"))
