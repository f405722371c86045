"""The watched folder: whole files are taken and put away, broken ones are put aside with the reason, none is lost."""

import json
import os
from pathlib import Path

import pytest

from overnight.base.errors import ConfigError, DatabaseBusy, UserMistake
from overnight.data import inbox as module
from overnight.data.inbox import KEEP_US, UNFINISHED_S, Inbox, Refused, Waiting, refused, waiting
from overnight.testing.clock import FakeClock

NAME = "experiences_intent_1.json"


class Taker:
    """Takes values, or refuses or fails as a test says: at once, or when it is waited for."""

    def __init__(self):
        self.taken, self.begins, self.ends = [], [], []

    def __call__(self, value):
        for error in self.begins:
            raise error

        def wait():
            for error in self.ends:
                raise error
            self.taken.append(value)

        return wait


@pytest.fixture
def take():
    return Taker()


@pytest.fixture
def inbox(tmp_path):
    return Inbox(tmp_path / "experiences", FakeClock())


def lay(inbox, text, name=NAME):
    inbox.folder.mkdir(exist_ok=True)
    path = inbox.folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def files(inbox, folder=""):
    return sorted(path.name for path in (inbox.folder / folder).glob("*") if not path.is_dir())


def why(inbox):
    [(name, reason)] = [(one.name, one.reason) for one in refused(inbox.folder)]
    assert name == NAME
    return reason


def test_a_whole_file_is_taken_and_put_away(inbox, take):
    lay(inbox, '{"a": 1}')
    assert inbox.look(take) == 1
    assert take.taken == [{"a": 1}] and files(inbox) == [] and files(inbox, "processed") == [NAME]
    assert inbox.look(take) == 0


def test_the_folder_is_made(inbox, take):
    assert inbox.look(take) == 0 and inbox.folder.is_dir()


def test_files_are_taken_in_the_order_of_their_names_and_many_at_a_look(inbox, take):
    count = 2 * module.TOGETHER + 3
    for number in reversed(range(count)):
        lay(inbox, f'{{"n": {number}}}', f"experiences_a_{number:04}.json")
    assert inbox.look(take) == count
    assert [value["n"] for value in take.taken] == list(range(count))


def test_a_file_of_another_name_is_left_alone_and_named(inbox, take):
    lay(inbox, "{}", "points.json")
    lay(inbox, "{}", ".experiences_a_1.json")
    lay(inbox, "{", NAME)
    assert inbox.look(take) == 0 and take.taken == []
    assert waiting(inbox.folder) == Waiting(batches=[NAME], others=["points.json"])


def test_a_file_that_is_still_written_is_waited_for(inbox, take, tmp_path):
    text = '{"a": "é", "b": [1, 2]}'.encode()
    path = lay(inbox, b"")
    for end in range(len(text)):
        path.write_bytes(text[:end])
        inbox._clock.advance(UNFINISHED_S - 1)
        assert inbox.look(take) == 0, text[:end]
    path.write_bytes(text)
    assert inbox.look(take) == 1 and take.taken == [{"a": "é", "b": [1, 2]}]


def test_a_file_that_stands_still_is_not_read_again_and_then_put_aside(inbox, take, monkeypatch):
    lay(inbox, '{"a": ')
    inbox.look(take)
    reads, read = [], module._read
    monkeypatch.setattr(module, "_read", lambda path: reads.append(path) or read(path))
    inbox._clock.advance(UNFINISHED_S - 1)
    inbox.look(take)
    assert reads == [] and files(inbox) == [NAME]
    inbox._clock.advance(1)
    inbox.look(take)
    assert "no whole JSON, and unchanged for 60 s: Expecting value" in why(inbox)
    assert files(inbox) == [] and (inbox.folder / "failed" / NAME).read_text() == '{"a": '


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\xfa", b'{"a": "\xe9"}', b"[" * 100_000, b'{"a": 1}}'])
def test_what_never_becomes_json_is_put_aside(inbox, take, content):
    lay(inbox, content)
    inbox.look(take)
    inbox._clock.advance(UNFINISHED_S)
    inbox.look(take)
    assert "no whole JSON" in why(inbox)


@pytest.mark.parametrize("when", ["begins", "ends"])
def test_what_is_refused_is_put_aside_with_the_reason(inbox, take, when):
    getattr(take, when).append(UserMistake("batch_id: missing"))
    lay(inbox, "{}")
    assert inbox.look(take) == 0
    assert why(inbox) == "batch_id: missing"
    assert files(inbox, "failed") == [NAME, f"{NAME}.reason.txt"] and files(inbox) == []


def test_what_the_database_cannot_take_now_stays(inbox, take):
    take.ends.append(DatabaseBusy("held"))
    lay(inbox, "{}")
    with pytest.raises(DatabaseBusy):
        inbox.look(take)
    take.ends.clear()
    assert files(inbox) == [NAME] and inbox.look(take) == 1


@pytest.mark.parametrize("error", [ConfigError("the trainer is wrong"), OSError(5, "I/O error")])
def test_a_fault_of_the_machine_or_the_project_costs_no_file_and_holds_up_no_other(inbox, take, error):
    def once(value):
        if value == {"n": 1}:
            raise error
        return take(value)

    lay(inbox, '{"n": 1}')
    lay(inbox, '{"n": 2}', "experiences_intent_2.json")
    with pytest.raises(type(error)):
        inbox.look(once)
    assert take.taken == [{"n": 2}] and files(inbox) == [NAME]
    assert inbox.look(take) == 0, "not again at each look"
    inbox._clock.advance(UNFINISHED_S)
    assert inbox.look(take) == 1 and take.taken == [{"n": 2}, {"n": 1}]


def test_a_name_that_was_there_before_overwrites_nothing(inbox, take):
    for number in range(3):
        lay(inbox, f'{{"n": {number}}}')
        assert inbox.look(take) == 1
    take.begins.append(UserMistake("no"))
    for number in range(2):
        lay(inbox, f'{{"n": {number}}}')
        inbox.look(take)
    numbered = ["experiences_intent_1.1.json", "experiences_intent_1.2.json", NAME]
    assert files(inbox, "processed") == numbered
    assert [one.name for one in refused(inbox.folder)] == [numbered[0], NAME]
    kept = [json.loads((inbox.folder / "processed" / name).read_text())["n"] for name in numbered]
    assert sorted(kept) == [0, 1, 2]


@pytest.mark.parametrize("way", ["another file", "the same file"])
@pytest.mark.parametrize("end", ["taken", "refused"])
def test_a_file_that_is_replaced_while_it_is_taken_is_taken_too(inbox, take, way, end):
    def replacing(value):
        wait = take(value)

        def late():
            wait()
            if way == "another file":
                path.unlink()
            path.write_text('{"n": 22}')
            if end == "refused":
                raise UserMistake("no")

        return late

    path = lay(inbox, '{"n": 1}')
    inbox.look(replacing)
    assert take.taken == [{"n": 1}] and files(inbox) == [NAME] and refused(inbox.folder) == []
    assert inbox.look(take) == 1 and take.taken == [{"n": 1}, {"n": 22}]


def test_a_file_that_another_daemon_has_moved_is_nobodys_trouble(inbox, take):
    other = Inbox(inbox.folder, inbox._clock)

    def both(value):
        take.begins.append(UserMistake("no"))
        other.look(take)
        raise UserMistake("no")

    lay(inbox, "{}")
    inbox.look(both)
    assert [one.reason for one in refused(inbox.folder)] == ["no"]
    assert files(inbox, "failed") == [NAME, f"{NAME}.reason.txt"]


def test_what_is_no_plain_file_is_put_aside(inbox, take):
    inbox.look(take)
    secret = inbox.folder.parent / "secret"
    secret.write_text('{"n": 1}')
    (inbox.folder / "experiences_a_link.json").symlink_to(secret)
    (inbox.folder / "experiences_a_folder.json").mkdir()
    os.mkfifo(inbox.folder / "experiences_a_pipe.json")
    assert inbox.look(take) == 0 and take.taken == [] and secret.exists()
    found = refused(inbox.folder)
    assert [one.name for one in found] == [f"experiences_a_{name}.json" for name in ("folder", "link", "pipe")]
    assert {one.reason for one in found} == {
        "no plain file: links, folders and pipes are not read; put the file itself here"
    }


def test_a_file_that_is_too_large_is_put_aside(inbox, take, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    lay(inbox, "[1, 2, 3, 4]")
    inbox.look(take)
    assert why(inbox) == "larger than 10 bytes; send it in several batches"


def test_a_file_that_must_not_be_read_is_put_aside(inbox, take):
    path = lay(inbox, "{}")
    path.chmod(0)
    if os.geteuid() == 0:
        # Nothing is forbidden to root: be somebody else while it is opened.
        inbox.folder.chmod(0o777)
        for folder in (inbox.folder, *inbox.folder.parents):
            if folder.stat().st_mode & 0o001 == 0:
                folder.chmod(folder.stat().st_mode | 0o011)
        os.seteuid(65534)
    try:
        inbox.look(take)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
    assert why(inbox) == "cannot be read: Permission denied; make it readable and put it here again"


def test_a_file_that_cannot_be_put_away_is_not_taken_at_each_look(inbox, take, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    lay(inbox, "{}")
    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="No space left"):
        inbox.look(take)
    assert inbox.look(take) == 0 and take.taken == [{}] and files(inbox) == [NAME]
    monkeypatch.undo()
    inbox._clock.advance(UNFINISHED_S)
    assert inbox.look(take) == 1 and files(inbox, "processed") == [NAME]


def test_what_was_taken_is_kept_for_seven_days(inbox, take):
    path = lay(inbox, "{}")
    os.utime(path, (0, 0))
    inbox.look(take)
    about = (inbox.folder / "processed" / NAME).stat()
    inbox._clock.jump((about.st_ctime_ns // 1000 + KEEP_US - inbox._clock.now_us()) / 1e6 - 1)
    inbox.sweep()
    assert files(inbox, "processed") == [NAME]
    inbox._clock.jump(2)
    inbox.sweep()
    assert files(inbox, "processed") == []


def test_a_refused_file_without_a_reason_is_shown_too(inbox, take):
    (inbox.folder / "failed").mkdir(parents=True)
    (inbox.folder / "failed" / NAME).write_text("{}")
    assert refused(inbox.folder) == [Refused(name=NAME, reason="no reason is there")]


def test_a_look_that_is_to_end_leaves_the_rest(inbox, take, monkeypatch):
    monkeypatch.setattr(module, "TOGETHER", 2)
    for number in range(5):
        lay(inbox, "{}", f"experiences_a_{number}.json")
    assert inbox.look(take, ended=lambda: bool(take.taken)) == 2 and len(files(inbox)) == 3
