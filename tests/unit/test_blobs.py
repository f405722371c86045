"""A blob is named by its content, verified whenever it is read, and either there or not."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from overnight.base.errors import DamagedBlob, TransientError, UnknownName
from overnight.db.blobs import Blobs

CONTENT = b"what was learnt"
NAME = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["folder", "file", "memory"])
def blobs(request, tmp_path):
    place = tmp_path / "a folder::with %20 an odd name" if request.param == "folder" else tmp_path / "blobs"
    return Blobs({"folder": str(place), "file": place.as_uri(), "memory": f"memory://{uuid4().hex}"}[request.param])


def file_of(blobs, name):
    files, path = blobs._find(name)
    return files, path


def test_a_blob_is_named_by_its_content_and_comes_back(blobs):
    assert blobs.put(CONTENT) == blobs.put(CONTENT) == NAME
    assert blobs.get(NAME) == CONTENT
    assert blobs.put(b"") == hashlib.sha256().hexdigest() and blobs.get(blobs.put(b"")) == b""


def test_a_damaged_blob_is_one_line_and_never_its_content(blobs):
    blobs.put(CONTENT)
    files, path = file_of(blobs, NAME)
    files.pipe_file(path, CONTENT[:-1] + b"?")
    with pytest.raises(DamagedBlob, match=f"^blob '{NAME}' in .* is damaged: its content has another hash$"):
        blobs.get(NAME)


def test_a_blob_that_was_cut_off_is_replaced_when_it_is_stored_again(blobs):
    blobs.put(CONTENT)
    files, path = file_of(blobs, NAME)
    files.pipe_file(path, CONTENT[:3])
    blobs.put(CONTENT)
    assert blobs.get(NAME) == CONTENT


def test_a_missing_blob_is_one_line(blobs):
    with pytest.raises(UnknownName, match=f"^blob '{NAME}' is missing from "):
        blobs.get(NAME)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", NAME[:-1], NAME.upper(), NAME[:-1] + "/"])
def test_what_is_no_name_of_a_blob_is_refused(blobs, name):
    with pytest.raises(UnknownName, match="is not the name of a blob"):
        blobs.get(name)


def test_a_folder_comes_back_whole_and_verified(blobs, tmp_path):
    (tmp_path / "model" / "deep").mkdir(parents=True)
    (tmp_path / "model" / "a.json").write_bytes(b"{}")
    (tmp_path / "model" / "deep" / "trees").write_bytes(CONTENT)
    manifest = blobs.put_folder(tmp_path / "model")
    assert manifest["deep/trees"] == {"sha256": NAME, "size": len(CONTENT)} and len(manifest) == 2
    blobs.fetch_folder(manifest, tmp_path / "again")
    assert (tmp_path / "again" / "deep" / "trees").read_bytes() == CONTENT
    assert (tmp_path / "again" / "a.json").read_bytes() == b"{}"
    files, path = file_of(blobs, NAME)
    files.pipe_file(path, b"x" * len(CONTENT))
    with pytest.raises(DamagedBlob, match="is damaged"):
        blobs.fetch_folder(manifest, tmp_path / "damaged")


def test_an_empty_folder_comes_back_as_one(blobs, tmp_path):
    (tmp_path / "empty").mkdir()
    manifest = blobs.put_folder(tmp_path / "empty")
    blobs.fetch_folder(manifest, tmp_path / "again")
    assert manifest == {} and (tmp_path / "again").is_dir()


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside"])
def test_a_manifest_that_names_a_file_outside_is_refused_before_it_is_written(blobs, tmp_path, name):
    manifest = {name: {"sha256": blobs.put(CONTENT), "size": len(CONTENT)}}
    with pytest.raises(DamagedBlob, match="the manifest names a file outside its folder"):
        blobs.fetch_folder(manifest, tmp_path / "inside")
    assert not (tmp_path / "outside").exists()


def test_many_threads_that_store_the_same_and_other_things_all_succeed(blobs):
    contents = [str(place % 5).encode() * 1000 for place in range(40)]
    together = threading.Barrier(8)

    def put(part):
        together.wait()
        return [blobs.put(content) for content in part]

    with ThreadPoolExecutor(8) as pool:
        names = [name for part in pool.map(put, [contents[place::8] for place in range(8)]) for name in part]
    assert len(set(names)) == 5 and all(blobs.get(name) in contents for name in names)


def test_a_blob_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    blobs = Blobs(str(tmp_path / "blobs"))

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        blobs.put(CONTENT)
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []
    monkeypatch.undo()
    assert blobs.get(blobs.put(CONTENT)) == CONTENT


def test_what_nobody_needs_is_discarded_unless_it_is_young(blobs):
    kept, gone = blobs.put(b"kept"), blobs.put(CONTENT)
    assert blobs.discard([NAME], 0) == 0 and blobs.get(gone) == CONTENT
    far = 2**52
    assert blobs.discard([NAME, "0" * 64], far) == len(CONTENT) and blobs.discard([NAME], far) == 0
    assert blobs.get(kept) == b"kept"
    with pytest.raises(UnknownName):
        blobs.get(NAME)


def test_a_store_elsewhere_that_cannot_be_used_is_one_line(monkeypatch):
    blobs = Blobs(f"memory://{uuid4().hex}")
    name = blobs.put(CONTENT)

    def broken(*_, **__):
        raise RuntimeError("the endpoint\nis away")

    for method in ("pipe_file", "cat_file", "size"):
        monkeypatch.setattr(type(blobs._place[0]), method, broken)
    for use in (lambda: blobs.put(CONTENT), lambda: blobs.get(name), lambda: blobs.discard([name], 1)):
        with pytest.raises(TransientError, match=r"^memory://.* cannot be used now: RuntimeError: the endpoint is aw"):
            use()
