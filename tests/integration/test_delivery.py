"""A dataset arrives elsewhere whole, whatever breaks on the way: real files, real shells, real processes."""

import json
import os
import shlex
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import fsspec
import pytest

from daemons import wait_for
from exported import MB, exported, files_at, files_of, some_files
from far_host import SRC, FarHost
from overnight.base.errors import DamagedBlob, MissingExtra, TransientError, UserMistake
from overnight.data.cards import About
from overnight.data.datasets import Sample, write_dataset
from overnight.data.delivery import deliver
from overnight.data.delivery_ssh import _SETTLE, Host
from overnight.data.delivery_store import Store

MARK = ".manifest.json.overnight"


@pytest.fixture
def far(tmp_path):
    made = FarHost(tmp_path / "far")
    made.add("gpu1")
    yield made
    made.close()


def here(script: str = 'eval "$2"') -> list[str]:
    """A client that runs the line in this machine: $1 is the host, $2 the line."""
    return ["sh", "-c", script, "ssh"]


class There:
    """A target of some kind."""

    def __init__(self, kind: str, tmp_path: Path) -> None:
        folder = tmp_path / "there" / "it's $HOME; [0-9]*"
        self.ssh = here()
        self.target = {
            "path": str(folder), "memory": f"memory://{tmp_path}/set", "ssh": f"ssh://h{folder}"
        }[kind]  # fmt: skip
        self.url = self.target.replace("ssh://h", "")
        self.store, self._base = fsspec.core.url_to_fs(self.url)

    def deliver(self, folder, **other):
        return deliver(folder, self.target, ssh=self.ssh, **other)

    def files(self):
        return files_at(self.url)

    def write(self, name, content):
        path = f"{self._base}/{name}"
        self.store.makedirs(path.rpartition("/")[0], exist_ok=True)
        with self.store.open(path, "wb") as file:
            file.write(content)


@pytest.fixture(params=("path", "memory", "ssh"))
def there(request, tmp_path):
    return There(request.param, tmp_path)


def set_of(folder, files, **other):
    exported(folder, files, **other)
    return {**files, "manifest.json": (folder / "manifest.json").read_bytes()}


# -- it arrives


def test_what_an_export_writes_arrives_as_it_is_and_the_second_time_nothing_is_sent(there, tmp_path):
    talk = [{"role": "user", "content": "é"}, {"role": "assistant", "content": "x" * 2000}]
    samples = [
        Sample(conversation=talk, quality_0_1=None, source={"name": "s", "licence": "MIT"}, groups=[str(number)])
        for number in range(40)
    ]
    about = About(name="facts", made=["By nobody."], gate_version="1")
    write_dataset(samples, tmp_path / "set", about=about, form="openai", seed=0)
    told = []
    done = there.deliver(tmp_path / "set", progress=lambda *two: told.append(two))
    whole = files_of(tmp_path / "set")
    assert there.files() == whole and len(whole) == 8
    size = sum(map(len, whole.values()))
    assert (done.dataset, done.files, done.bytes, done.sent_bytes) == ("facts", 8, size, size)
    assert [total for _, total in told] == [size] * len(told)
    assert told[-1][0] == size and [at for at, _ in told] == sorted(at for at, _ in told)

    again = there.deliver(tmp_path / "set")
    assert again.sent_bytes == 0 and again.manifest_sha256 == done.manifest_sha256
    assert there.files() == whole


def test_odd_names_arrive_and_no_shell_reads_them(there, tmp_path):
    names = ["a b.jsonl", "'", "-rf", "$(touch x)`touch y`", "back\\slash", "*", "ü/é;.jsonl", " lead", "[a]", '"']
    whole = set_of(tmp_path / "set", {name: name.encode() for name in names})
    there.deliver(tmp_path / "set")
    assert there.files() == whole


def test_a_url_of_a_file_is_a_folder_here(tmp_path):
    whole = set_of(tmp_path / "set", some_files())
    done = deliver(tmp_path / "set", f"file://{tmp_path}/two")
    assert (files_of(tmp_path / "two"), done.target) == (whole, f"file://{tmp_path}/two")


def test_a_folder_below_the_home_of_the_host(far, tmp_path):
    whole = set_of(tmp_path / "set", some_files())
    done = deliver(tmp_path / "set", "ssh://gpu1/~/my sets/one", ssh=far.ssh("gpu1")[:-1])
    assert files_of(far.homes / "gpu1" / "my sets" / "one") == whole
    assert done.target == "ssh://gpu1/~/my sets/one"


def test_what_was_there_before_and_is_not_the_datasets_stays(there, tmp_path):
    there.write("notes.txt", b"mine")
    whole = set_of(tmp_path / "set", some_files())
    there.deliver(tmp_path / "set")
    assert there.files() == {**whole, "notes.txt": b"mine"}


# -- it goes on


def test_what_is_damaged_at_the_target_is_found_and_sent_again(there, tmp_path):
    whole = set_of(tmp_path / "set", some_files())
    there.deliver(tmp_path / "set")
    there.write("parts/train.jsonl", whole["parts/train.jsonl"][:-1] + b"!!"[:1])
    done = there.deliver(tmp_path / "set")
    assert there.files() == whole
    assert done.sent_bytes == len(whole["parts/train.jsonl"]) + len(whole["manifest.json"])


def test_a_new_version_takes_the_place_of_the_old_one(there, tmp_path):
    old = set_of(tmp_path / "old", {"README.md": b"1", "train.jsonl": b"old", "val.jsonl": b"same"})
    there.deliver(tmp_path / "old")
    new = set_of(tmp_path / "new", {"README.md": b"2", "test.jsonl": b"new", "val.jsonl": b"same"})
    done = there.deliver(tmp_path / "new")
    assert there.files() == {**new, "train.jsonl": old["train.jsonl"]}, "nothing is deleted"
    assert done.sent_bytes == len(b"2" + b"new" + new["manifest.json"])


def test_what_a_killed_one_left_is_gone_on_from(there, tmp_path):
    """Of two files one has arrived under its temporary name, and one has its name already: there is no manifest."""
    whole = set_of(tmp_path / "set", some_files())
    train = whole["parts/train.jsonl"]
    there.write(MARK, whole["manifest.json"])
    there.write("README.md", whole["README.md"])
    there.write("parts/.train.jsonl.overnight", train)
    there.write(".README.md.overnight", b"of no use any more")
    done = there.deliver(tmp_path / "set")
    assert there.files() == whole
    assert done.sent_bytes == len(whole["manifest.json"])


def test_a_newer_export_takes_over_what_a_killed_one_left(there, tmp_path):
    old = set_of(tmp_path / "old", some_files())
    for name, content in {MARK: old["manifest.json"], "README.md": b"old", ".README.md.overnight": b"ol"}.items():
        there.write(name, content)
    new = set_of(tmp_path / "new", some_files())
    there.deliver(tmp_path / "new")
    assert there.files() == new


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (lambda train: train[:100_000], 200_000),
        (lambda train: train, 0),
        (lambda train: b"!" + train[1:100_000], 300_000),
        (lambda train: train + b"!", 300_000),
        (lambda train: b"", 300_000),
    ],
    ids=["first part", "all of it", "damaged", "too long", "nothing"],
)
def test_over_ssh_a_file_goes_on_where_what_arrived_is_right(tmp_path, part, sent):
    there = There("ssh", tmp_path)
    whole = set_of(tmp_path / "set", some_files())
    there.write("parts/.train.jsonl.overnight", part(whole["parts/train.jsonl"]))
    done = there.deliver(tmp_path / "set")
    assert there.files() == whole
    assert done.sent_bytes == sent + len(whole["README.md"] + whole["manifest.json"])


SENDER = """
import sys
from pathlib import Path
from overnight.data.delivery import deliver
def progress(done, total):
    if done > 2 << 20:
        print(done, flush=True)
        sys.stdin.read()
deliver(Path(sys.argv[1]), sys.argv[2], ssh=sys.argv[3:], progress=progress)
"""


def kill_in_the_middle(folder, target, ssh, arrived):
    """Begin a delivery in a process, and kill it with SIGKILL when more than 2 MiB are on the way."""
    argv = [sys.executable, "-c", SENDER, str(folder), target, *ssh]
    with subprocess.Popen(
        argv, env={**os.environ, "PYTHONPATH": SRC}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as sender:
        assert int(sender.stdout.readline()) > 2 * MB
        wait_for(arrived)
        sender.send_signal(signal.SIGKILL)


def test_one_that_is_killed_with_sigkill_goes_on_in_the_middle_of_a_file(far, tmp_path):
    whole = set_of(tmp_path / "set", {"README.md": b"new", "train.jsonl": os.urandom(8 * MB)})
    old = set_of(tmp_path / "old", {"README.md": b"old", "train.jsonl": b"old"})
    target, ssh = "ssh://gpu1/~/set", far.ssh("gpu1")[:-1]
    there = far.homes / "gpu1" / "set"
    deliver(tmp_path / "old", target, ssh=ssh)
    part = there / ".train.jsonl.overnight"
    kill_in_the_middle(tmp_path / "set", target, ssh, lambda: part.exists() and part.stat().st_size > MB)
    wait_for(lambda: far.trainers() == 0)
    left = files_of(there)
    assert {name: left[name] for name in old} == old, "the dataset that is there stays whole"
    assert MB < len(left[part.name]) < 8 * MB

    done = deliver(tmp_path / "set", target, ssh=ssh)
    assert files_of(there) == whole
    assert done.sent_bytes == 8 * MB - len(left[part.name]) + len(whole["manifest.json"])


def test_a_killed_one_to_a_folder_here_keeps_the_files_that_are_whole(tmp_path):
    big, target = os.urandom(2 * MB - 5000), tmp_path / "there"
    whole = set_of(tmp_path / "set", {"a.jsonl": big, "b.jsonl": os.urandom(3 * MB)})
    kill_in_the_middle(tmp_path / "set", str(target), [], (target / ".b.jsonl.overnight").exists)
    assert not (target / "a.jsonl").exists() and not (target / "manifest.json").exists()
    done = deliver(tmp_path / "set", str(target))
    assert files_of(target) == whole
    assert done.sent_bytes == done.bytes - len(big), "b.jsonl is sent anew"


def test_what_the_caller_raises_while_it_is_told_passes_through(there, tmp_path):
    folder = exported(tmp_path / "set", {"train.jsonl": bytes(3 * MB)})

    def enough(done, total):
        if done > MB:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        there.deliver(folder, progress=enough)
    assert "manifest.json" not in there.files() and "train.jsonl" not in there.files()


def test_a_connection_that_breaks_is_worth_another_try(far, tmp_path):
    whole = set_of(tmp_path / "set", {"train.jsonl": os.urandom(8 * MB)})
    target, ssh, dropped = "ssh://gpu1/~/set", far.ssh("gpu1")[:-1], []

    def drop(done, total):
        if done > 2 * MB and not dropped:
            dropped.append(done)
            far.drop()

    with pytest.raises(TransientError, match="ssh://gpu1/~/set: the connection was lost: was killed by SIGKILL"):
        deliver(tmp_path / "set", target, ssh=ssh, progress=drop)
    wait_for(lambda: far.trainers() == 0)
    done = deliver(tmp_path / "set", target, ssh=ssh)
    assert files_of(far.homes / "gpu1" / "set") == whole
    assert done.sent_bytes < done.bytes - MB


def test_a_list_that_is_cut_short_gives_no_manifest(tmp_path):
    host = Host(f"ssh://h{tmp_path}/set", here())
    for name, content in {".a.overnight": "a", ".b.overnight": "b", MARK: "{}", "manifest.json": "old"}.items():
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / name).write_text(content)
    words = ("manifest.json", MARK, ".manifest.json.old.overnight")
    ended = host._call(_SETTLE, *words, pieces=[])
    assert ended.code == 75 and (tmp_path / "set" / "manifest.json").read_text() == "old"
    assert host._call(_SETTLE, *words, pieces=[b".a.overnight\na\n.b.overnight"]).code == 75
    assert host._call(_SETTLE, *words, pieces=[b".b.overnight\nb"]).code == 75
    assert sorted(files_of(tmp_path / "set")) == [".b.overnight", ".manifest.json.old.overnight", MARK, "a"]


def test_a_store_that_fails_while_names_change_shows_no_manifest_and_is_gone_on_with(tmp_path, monkeypatch):
    target, files = f"memory://{tmp_path}/two", fsspec.filesystem("memory")
    set_of(tmp_path / "old", {"a": b"1", "b": b"1"})
    deliver(tmp_path / "old", target)
    whole = set_of(tmp_path / "set", {"a": b"2", "b": b"2"})
    copy = type(files).cp_file

    def fails(self, path, to, **other):
        if to.endswith("/b"):
            raise ConnectionError("reset")
        copy(self, path, to, **other)

    with monkeypatch.context() as broken:
        broken.setattr(type(files), "cp_file", fails)
        with pytest.raises(TransientError, match="cannot be used now: ConnectionError: reset"):
            deliver(tmp_path / "set", target)
    assert (files_at(target)["a"], files_at(target)["b"]) == (b"2", b"1")
    assert "manifest.json" not in files_at(target)
    assert deliver(tmp_path / "set", target).sent_bytes == len(whole["manifest.json"])
    assert files_at(target) == whole


# -- what arrives otherwise than it was sent


def test_what_is_changed_on_the_way_never_gets_its_name(tmp_path):
    set_of(tmp_path / "set", {"train.jsonl": b"a" * 1000})
    bad = here('case $2 in *train.jsonl*) tr a b | eval "$2" ;; *) eval "$2" ;; esac')
    with pytest.raises(TransientError, match=r"set2: train.jsonl does not arrive there as it is sent"):
        deliver(tmp_path / "set", f"ssh://h{tmp_path}/set2", ssh=bad)
    assert sorted(files_of(tmp_path / "set2")) == [MARK, ".train.jsonl.overnight"]


def test_what_an_earlier_try_still_had_on_its_way_costs_one_more_sending(tmp_path):
    whole = set_of(tmp_path / "set", {"train.jsonl": b"a" * 1000})
    (tmp_path / "set2").mkdir()
    (tmp_path / "set2" / ".train.jsonl.overnight").write_bytes(b"a" * 400)
    late = shlex.quote(str(tmp_path / "set2" / ".train.jsonl.overnight"))
    ssh = here(f'case $2 in *" 400 "*) printf late >> {late} ;; esac; eval "$2"')
    done = deliver(tmp_path / "set", f"ssh://h{tmp_path}/set2", ssh=ssh)
    assert files_of(tmp_path / "set2") == whole
    assert done.sent_bytes == 600 + 1000 + len(whole["manifest.json"])


def test_a_store_that_does_not_keep_what_it_is_given_is_found_out(tmp_path, monkeypatch):
    set_of(tmp_path / "set", {"train.jsonl": b"a" * 1000})
    files = fsspec.filesystem("memory")
    write = type(files)._open
    monkeypatch.setattr(
        type(files),
        "_open",
        lambda self, path, mode="rb", **other: write(
            self, path if mode == "rb" else f"{path}{'.lost' * ('train' in path)}", mode, **other
        ),
    )
    with pytest.raises(TransientError, match=r"train.jsonl does not arrive there as it is sent"):
        deliver(tmp_path / "set", f"memory://{tmp_path}/bad")
    assert not files.exists(f"{tmp_path}/bad/manifest.json")


# -- whose folder it is


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"manifest.json": b'{"name": "other", "files": {}}'}, "holds the dataset 'other', and this is 'facts'"),
        ({MARK: b'{"name": "other", "files": {}}'}, "holds the dataset 'other', and this is 'facts'"),
        ({"README.md": b"mine"}, "holds another README.md, of no dataset that is known"),
        ({"manifest.json": b"{}"}, "holds another manifest.json, of no dataset that is known"),
        ({"manifest.json": b""}, "holds another manifest.json, of no dataset that is known"),
    ],
)
def test_what_belongs_to_another_is_refused_and_stays(there, tmp_path, held, message):
    set_of(tmp_path / "set", some_files())
    for name, content in held.items():
        there.write(name, content)
    with pytest.raises(UserMistake, match=message):
        there.deliver(tmp_path / "set")
    assert there.files() == held


def test_a_folder_in_the_way_is_told(there, tmp_path):
    set_of(tmp_path / "set", some_files())
    there.write("README.md/x", b"x")
    with pytest.raises(UserMistake, match=r"a folder.*README.md"):
        there.deliver(tmp_path / "set")


@pytest.mark.parametrize("ssh", [False, True], ids=["path", "ssh"])
def test_a_file_in_the_place_of_the_folder_is_told(tmp_path, ssh):
    set_of(tmp_path / "set", some_files())
    (tmp_path / "two").write_text("mine")
    with pytest.raises(UserMistake, match="two: something else is in the way"):
        deliver(tmp_path / "set", f"ssh://h{tmp_path}/two" if ssh else f"{tmp_path}/two", ssh=here())
    assert (tmp_path / "two").read_text() == "mine"


# -- what is wrong here


def test_a_folder_without_a_manifest_and_one_with_a_wrong_one_are_refused(tmp_path):
    target = tmp_path / "there"
    with pytest.raises(UserMistake, match=r"there is no manifest.json: give a folder that a dataset was exported to"):
        deliver(tmp_path / "nothing", str(target))
    for content in ("{", "[]", '{"name": 1, "files": {}}', '{"name": "x", "files": []}'):
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(UserMistake, match="is no manifest of a dataset; export it again"):
            deliver(tmp_path, str(target))
    for name in ("../x", "/etc/passwd", "a//b", "", ".", "manifest.json", "a\nb"):
        (tmp_path / "manifest.json").write_text(json.dumps({"name": "x", "files": {name: {}}}))
        with pytest.raises(UserMistake, match="is no name of a file below its folder"):
            deliver(tmp_path, str(target))
    assert not target.exists()


def test_a_file_here_that_is_not_what_the_manifest_says_is_not_sent(tmp_path):
    folder, target = exported(tmp_path / "set", some_files()), tmp_path / "there"
    (folder / "README.md").write_bytes(b"# lies\n")
    with pytest.raises(DamagedBlob, match=r"README.md is not what the manifest says; export it again"):
        deliver(folder, str(target))
    (folder / "README.md").unlink()
    with pytest.raises(DamagedBlob, match=r"README.md is missing, though the manifest names it"):
        deliver(folder, str(target))
    assert not target.exists()


def test_a_file_here_that_becomes_shorter_while_it_is_sent_is_told(there, tmp_path):
    folder = exported(tmp_path / "set", {"train.jsonl": bytes(3 * MB)})

    def cut(done, total):
        if MB < done < 2 * MB:
            os.truncate(folder / "train.jsonl", MB)

    with pytest.raises(DamagedBlob, match="was cut short while it was sent"):
        there.deliver(folder, progress=cut)
    assert "manifest.json" not in there.files() and "train.jsonl" not in there.files()


# -- what is wrong there

SMALL = (
    'mkdir small locked && mount -t tmpfs -o size=1m none small && mount -t tmpfs -o ro none locked && echo "$$" && cat'
)


@pytest.fixture
def disks(tmp_path):
    """Folders seen through a process that has mounted them: one of 1 MiB, and one that nobody may write to."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SMALL]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        pid = holder.stdout.readline().strip()
        if not pid:
            pytest.skip("no filesystem can be mounted here")
        yield Path(f"/proc/{pid}/root{tmp_path}")
        holder.stdin.close()


@pytest.mark.parametrize("ssh", [False, True], ids=["path", "ssh"])
def test_a_full_disk_is_told_and_what_arrived_stays_until_there_is_room(disks, tmp_path, ssh):
    whole = set_of(tmp_path / "set", {"a.jsonl": os.urandom(300_000), "b.jsonl": os.urandom(500_000)})
    old = set_of(tmp_path / "old", {"a.jsonl": b"old"})
    small = disks / "small"
    target = f"ssh://h{small}/set" if ssh else f"{small}/set"
    deliver(tmp_path / "old", target, ssh=here())
    (small / "ballast").write_bytes(bytes(400_000))
    with pytest.raises(
        TransientError, match=r"small/set: no room is left there \(.*No space left on device.*make room"
    ):
        deliver(tmp_path / "set", target, ssh=here())
    left = files_of(small / "set")
    assert {name: left[name] for name in old} == old and left[".a.jsonl.overnight"] == whole["a.jsonl"]
    kept = len(left.get(".b.jsonl.overnight", b""))
    assert kept > 100_000 if ssh else kept == 0

    (small / "ballast").unlink()
    done = deliver(tmp_path / "set", target, ssh=here())
    assert files_of(small / "set") == whole
    assert done.sent_bytes == 500_000 - kept + len(whole["manifest.json"])


@pytest.mark.parametrize("ssh", [False, True], ids=["path", "ssh"])
def test_a_place_that_may_not_be_written_is_told(disks, tmp_path, ssh):
    set_of(tmp_path / "set", some_files())
    locked = disks / "locked"
    with pytest.raises(UserMistake, match=r"locked/set: may not be written \(.*Read-only file system.*: allow it"):
        deliver(tmp_path / "set", f"ssh://h{locked}/set" if ssh else f"{locked}/set", ssh=here())


@pytest.mark.parametrize(
    ("script", "kind", "message"),
    [
        ('echo "ssh: Could not resolve hostname $1: Name or service not known" >&2; exit 255', TransientError,
         "ssh://me@h/set: cannot be reached: ssh: Could not resolve hostname me@h"),
        ('echo "me@h: Permission denied (publickey)." >&2; exit 255', UserMistake, "no login there: me@h: Permission"),
        ('echo "Host key verification failed." >&2; exit 255', UserMistake, "no login there: Host key"),
        ('echo "This service allows sftp connections only."; exit 1', UserMistake, "no POSIX shell answers there"),
        ("kill -9 $$", TransientError, "cannot be reached: was killed by SIGKILL"),
    ],
)  # fmt: skip
def test_a_host_that_lets_nobody_in_is_told_in_one_line(tmp_path, script, kind, message):
    set_of(tmp_path / "set", some_files())
    with pytest.raises(kind) as caught:
        deliver(tmp_path / "set", "ssh://me@h/set", ssh=here(script))
    assert message.replace("ssh://me@h", "ssh://h") in str(caught.value) and "\n" not in str(caught.value)


def test_a_host_that_is_not_there_by_the_real_client(tmp_path):
    set_of(tmp_path / "set", some_files())
    with pytest.raises(
        TransientError, match=r"ssh://127.0.0.1:1/set: cannot be reached: ssh: connect to host 127.0.0.1"
    ):
        deliver(tmp_path / "set", "ssh://127.0.0.1:1/set")
    with pytest.raises(UserMistake, match=r"the ssh client could not be started: .*no-such-client"):
        deliver(tmp_path / "set", "ssh://127.0.0.1:1/set", ssh=["no-such-client"])


def tools(folder, *names):
    """A folder of programs, without the others: what a small host has."""
    folder.mkdir()
    for name in names:
        found = subprocess.run(["sh", "-c", f"command -v {name}"], capture_output=True, text=True, check=True)
        (folder / name).symlink_to(found.stdout.strip())
    return here(f'PATH={shlex.quote(str(folder))}; export PATH; eval "$2"')


POSIX = ("sh", "cat", "cut", "mkdir", "mv", "rm", "sync", "wc")


def test_a_host_needs_no_more_than_a_shell_and_its_tools(tmp_path):
    whole = set_of(tmp_path / "set", some_files())
    deliver(tmp_path / "set", f"ssh://h{tmp_path}/one", ssh=tools(tmp_path / "few", *POSIX, "sha256sum"))
    assert files_of(tmp_path / "one") == whole
    ssh = tools(tmp_path / "mac", *POSIX)
    with pytest.raises(UserMistake, match="neither sha256sum nor shasum is there: install one of them"):
        deliver(tmp_path / "set", f"ssh://h{tmp_path}/two", ssh=ssh)
    (tmp_path / "mac" / "shasum").write_text('#!/bin/sh\n[ "$*" = "-a 256" ] && exec /usr/bin/sha256sum\n')
    (tmp_path / "mac" / "shasum").chmod(0o755)
    deliver(tmp_path / "set", f"ssh://h{tmp_path}/two", ssh=ssh)
    assert files_of(tmp_path / "two") == whole


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_a_login_that_prints_something_is_in_nobodys_way(tmp_path, shell):
    whole = set_of(tmp_path / "set", some_files())
    ssh = here(f'echo "Welcome! {{}}"; echo "mind the gap" >&2; exec {shell} -c "$2"')
    for sent in (True, False):
        done = deliver(tmp_path / "set", f"ssh://h{tmp_path}/two", ssh=ssh)
        assert (done.sent_bytes > 0) == sent
    assert files_of(tmp_path / "two") == whole


# -- addresses


@pytest.mark.parametrize(
    ("target", "words", "folder"),
    [
        ("ssh://h/a/b", ["h"], "/a/b"),
        ("ssh://me@h.example.org:2222/~/a b", ["-p", "2222", "me@h.example.org"], "~/a b"),
        ("ssh://[::1]:22/a", ["-p", "22", "::1"], "/a"),
    ],
)
def test_an_ssh_address_is_a_host_and_a_folder(target, words, folder):
    host = Host(target, ["ssh"])
    assert (host._ssh, host._folder) == (["ssh", *words], folder)


@pytest.mark.parametrize(
    "target",
    [
        "ssh://",
        "ssh://h",
        "ssh://h/",
        "ssh://-oProxyCommand=x/a",
        "ssh://-l@h/a",
        "ssh://h:x/a",
        "ssh://h/a\nb",
        "ssh:///a",
    ],
)
def test_what_is_no_ssh_address_is_refused(target):
    with pytest.raises(UserMistake, match=r'is not "ssh://\[USER@\]HOST\[:PORT\]/FOLDER"'):
        Host(target, ["ssh"])


def test_a_password_is_not_repeated(tmp_path):
    with pytest.raises(UserMistake) as caught:
        Host("ssh://me:hunter2@h/a", ["ssh"])
    assert "hunter2" not in str(caught.value)
    store = Store("memory://me:hunter2@h/a?sig=s3cret")
    assert store.shown == "memory://h/a"
    told = store._told(ValueError("GET memory://me:hunter2@h/a?sig=s3cret: hunter2 is wrong"))
    assert "hunter2" not in str(told) and "s3cret" not in str(told)


def test_what_a_store_needs_is_told(tmp_path):
    set_of(tmp_path / "set", some_files())
    with pytest.raises(UserMistake, match="the target is empty"):
        deliver(tmp_path / "set", "")
    with pytest.raises(UserMistake, match="target: 'nowhere' is no kind of store"):
        deliver(tmp_path / "set", "nowhere://x/y")
    if find_spec("s3fs") is None:
        with pytest.raises(MissingExtra, match=r"target: s3:// needs the extra 's3': pip install 'overnight\[s3\]'"):
            deliver(tmp_path / "set", "s3://bucket/set")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (FileNotFoundError("The specified bucket does not exist"), UserMistake, "make the bucket"),
        (PermissionError("Access Denied"), UserMistake, "may not be written"),
        (ConnectionError("reset"), TransientError, "cannot be used now: ConnectionError: reset"),
        (OSError(28, "No space left on device"), TransientError, "no room is left there"),
    ],
)
def test_whatever_a_library_says_is_one_line_of_the_right_family(tmp_path, monkeypatch, error, kind, message):
    set_of(tmp_path / "set", some_files())

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "makedirs", fails)
    with pytest.raises(kind, match=message):
        deliver(tmp_path / "set", f"memory://{tmp_path}/x")
