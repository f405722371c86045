"""A pickle is taken under no name and in no wrapping; other files are known for what they are, and come back whole."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest

from overnight.base.errors import DamagedBlob, PermanentError, UserMistake
from overnight.db.blobs import Blobs
from overnight.registry import artifacts
from overnight.registry.versions import Version

DATA = {"weights": [1.0, 2.0], "bias": 0.5}
VERSION = Version(
    version_id=1, model="nlu", number="v1.0.0", run_id=1, parent_id=None, snapshot_id="s", manifest={}, signature={},
    metrics={}, verdict={}, created_us=0,
)  # fmt: skip


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return file.getvalue()


def saved(save, *arguments, **named):
    file = io.BytesIO()
    save(file, *arguments, **named)
    return file.getvalue()


def safetensors():
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return len(header).to_bytes(8, "little") + header + b"\0\0\0\0"


OBJECTS = np.array([{"a": 1}], dtype=object)
PICKLES = {
    **{f"protocol{number}.bin": pickle.dumps(DATA, number) for number in range(6)},
    "instance.dat": pickle.dumps(io.StringIO, 0),
    "torch.bin": zipped(archive__data_dot_pkl=pickle.dumps(DATA, 2), archive__version=b"3"),
    "renamed_member.bin": zipped(weights=pickle.dumps(DATA, 4)),
    "old_torch.bin": pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(DATA, 2),
    "large.bin": pickle.dumps(b"x" * 200_000, 5),
    "gzip.bin": gzip.compress(pickle.dumps(DATA)),
    "zlib.bin": zlib.compress(pickle.dumps(DATA)),
    "bz2.bin": bz2.compress(pickle.dumps(DATA)),
    "xz.bin": lzma.compress(pickle.dumps(DATA)),
    "objects.npy": saved(np.save, OBJECTS),
    "structured.npy": saved(np.save, np.zeros(1, dtype=[("a", "f4"), ("b", object)])),
    "objects.npz": saved(np.savez, fine=np.ones(2), objects=OBJECTS),
    "named.pt": b"anything",
    "named.joblib": b"anything",
    "NAMED.PKL": b"anything",
}
TAKEN = {
    "model.safetensors": (safetensors(), "safetensors"),
    "renamed": (safetensors(), "safetensors"),
    "model.npz": (saved(np.savez, a=np.ones(3)), "npz"),
    "odd.npz": (saved(np.savez, a=np.frombuffer(b"|O'|O'|O", dtype=np.uint8)), "npz"),
    "version3.npy": (saved(np.lib.format.write_array, np.ones(2, dtype=[("ä", "f4")]), version=(3, 0)), "npy"),
    "a.npy": (saved(np.save, np.ones(3)), "npy"),
    "model.skops": (zipped(schema_dot_json=b"{}", a_dot_npy=saved(np.save, np.ones(3))), "skops"),
    "model.onnx": (b"\x08\x07\x12\x07pytorch", "onnx"),
    "model.gguf": (b"GGUF\3\0\0\0", "gguf"),
    "about.json": (b'{"a": 1}', "json"),
    "words.txt": (b"Ein Satz, in dem ein Punkt steht.", "text"),
    "list.txt": (b"cat\ndog.", "text"),
    "rows.csv": (b"(1, 2).", "text"),
    "long.txt": (("x" + "ä" * 40_000).encode(), "text"),
    "raw.bin": (b"\x80\x02\xff\xff\x00\x01", "data"),
    "other.bin": (bytes(range(256)), "data"),
    "squeezed.gz": (gzip.compress(b"plain text"), "data"),
    "broken.gz": (b"\x1f\x8b\x08\x00broken", "data"),
    "other.zip": (zipped(a_dot_txt=b"text"), "data"),
    "empty": (b"", "text"),
    "nearly.safetensors": (b"\xff\xff\0\0\0\0\0\0{}", "data"),
}


@pytest.fixture
def blobs(tmp_path):
    return Blobs(str(tmp_path / "blobs"))


def folder_of(tmp_path, files):
    folder = tmp_path / "model"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_is_refused_with_the_reason_and_nothing_is_kept(tmp_path, blobs, name):
    folder = folder_of(tmp_path, {"about.json": b"{}", f"inner/{name}": PICKLES[name]})
    with pytest.raises(UserMistake, match=f"^'inner/{name}' is refused: .*pickle.* runs code .*; taken are safe"):
        artifacts.put(blobs, folder)
    assert not (tmp_path / "blobs").exists()


def test_what_is_no_pickle_is_taken_and_its_format_told(tmp_path, blobs):
    folder = folder_of(tmp_path, {name: content for name, (content, _) in TAKEN.items()})
    manifest = artifacts.put(blobs, folder)
    assert {name: about["format"] for name, about in manifest.items()} == {
        name: kind for name, (_, kind) in TAKEN.items()
    }
    artifacts.fetch(blobs, replace(VERSION, manifest=manifest), tmp_path / "back")
    assert {name: (tmp_path / "back" / name).read_bytes() for name in TAKEN} == {
        name: content for name, (content, _) in TAKEN.items()
    }


def test_a_missing_and_an_altered_file_are_named_with_the_version(tmp_path, blobs):
    version = replace(VERSION, manifest=artifacts.put(blobs, folder_of(tmp_path, {"a.json": b"{}", "b.json": b"[]"})))
    files, path = blobs._find(version.manifest["b.json"]["sha256"])
    files.pipe_file(path, b"{]")
    with pytest.raises(DamagedBlob, match=r"^nlu v1\.0\.0: b\.json: .* is damaged: .*; restore it from a backup"):
        artifacts.fetch(blobs, version, tmp_path / "back")
    with pytest.raises(DamagedBlob, match=r"^nlu v1\.0\.0: b\.json: "):
        artifacts.verify(blobs, version)
    files.rm_file(path)
    with pytest.raises(DamagedBlob, match=r"^nlu v1\.0\.0: b\.json: .* is missing from "):
        artifacts.fetch(blobs, version, tmp_path / "back")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"removed_us": 1_700_000_000_000_000, "manifest": {"a": {}}},
            r"^the artifact of nlu v1\.0\.0 was removed on 2023-11-14 \(registry",
        ),
        ({}, r"^the state of nlu v1\.0\.0 was not kept"),
    ],
)
def test_an_artifact_that_is_not_kept_says_why(tmp_path, blobs, change, message):
    with pytest.raises(PermanentError, match=message):
        artifacts.fetch(blobs, replace(VERSION, **change), tmp_path / "back")
