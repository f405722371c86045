"""A data set is a folder that is whole or not there, says what is in it, and loads."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

from overnight.base.errors import MissingExtra, UserMistake
from overnight.data import datasets
from overnight.data.cards import About, Contents, card
from overnight.data.chats import FORMATS, formatted
from overnight.data.datasets import Sample, write_dataset

REAL = os.environ.get("OVERNIGHT_TEST_DATASETS")
ABOUT = About(name='The "best" | set', made=["Drawn from a grammar.", "Checked by two engines."], gate_version="3")
ODD = [
    "plain",
    "a\nb\r\n",
    "\u2028 \x85 \x0b",
    'tab\t"quote" \\',
    "🙂 是 é",
    "2024-01-01",
    "12",
    "null",
    "{}",
    "<b>|</b>",
    "\x00\x1f",
]


def samples(count: int = 60) -> list[Sample]:
    return [
        Sample(
            conversation=[
                {"role": "system", "content": "Answer."},
                {"role": "user", "content": f"{number} {ODD[number % len(ODD)]}"},
                {"role": "assistant", "content": f"{ODD[(number + 3) % len(ODD)]} x"},
            ],
            quality_0_1=None if number % 10 == 9 else number % 10 / 9,
            source={"name": f"source {number % 3}", "licence": ("MIT", "Apache-2.0")[number % 2], "version": "1"},
            groups=[f"near {number // 2}"],
        )
        for number in range(count)
    ]


def written(tmp_path, form="openai", **other):
    manifest = write_dataset(other.pop("samples", samples()), tmp_path / "set", about=ABOUT, form=form, seed=7)
    return tmp_path / "set", manifest


def rows_of(folder, part):
    return [json.loads(line) for line in (folder / f"{part}.jsonl").read_bytes().split(b"\n") if line]


@pytest.mark.parametrize("form", FORMATS)
def test_all_rows_are_in_both_kinds_of_file_whatever_they_hold(tmp_path, form):
    import duckdb

    folder, manifest = written(tmp_path, form)
    found = []
    for part, count in manifest["rows"].items():
        rows = rows_of(folder, part)
        assert len(rows) == count
        table = duckdb.sql(f"SELECT * FROM read_parquet('{folder / part}.parquet')")
        assert [dict(zip(table.columns, row, strict=True)) for row in table.fetchall()] == rows
        found += rows
    expected = [formatted(form, sample.conversation) for sample in samples()]
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, expected))


def test_parts_are_80_10_10_without_a_torn_group(tmp_path):
    folder, manifest = written(tmp_path)
    assert manifest["rows"] == {"train": 48, "val": 6, "test": 6}
    pairs = {
        part: {int(row["messages"][1]["content"].split()[0]) // 2 for row in rows_of(folder, part)}
        for part in manifest["rows"]
    }
    assert not pairs["train"] & pairs["val"] and not pairs["train"] & pairs["test"] and not pairs["val"] & pairs["test"]


def test_the_manifest_has_the_digest_of_every_file(tmp_path):
    folder, manifest = written(tmp_path)
    assert json.loads((folder / "manifest.json").read_text()) == manifest
    assert set(manifest["files"]) | {"manifest.json"} == {path.name for path in folder.iterdir()}
    for name, told in manifest["files"].items():
        data = (folder / name).read_bytes()
        assert (told["sha256"], told["bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert manifest["files"]["train.jsonl"]["rows"] == manifest["rows"]["train"]
    assert (manifest["format"], manifest["seed"], manifest["gate_version"]) == ("openai", 7, "3")


def test_the_same_samples_and_seed_give_the_same_files(tmp_path):
    one, first = written(tmp_path / "a")
    _, second = written(tmp_path / "b")
    assert first == second
    assert one.name == "set"


def test_the_card_says_what_is_in_it(tmp_path):
    folder, _ = written(tmp_path)
    text = (folder / "README.md").read_text()
    for expected in (
        'license: ["apache-2.0", "mit"]',
        "    path: val.jsonl",
        '# The "best" \\| set',
        "| train | 48 | 80.0% |",
        "| 8 to 9 | 6 | ########################################",
        "| not measured | 6 |",
        "| source 0 | 1 | MIT | 10 |",
        "- Checked by two engines.",
        "version 3 of the gate",
        "(30 groups)",
    ):
        assert expected in text, expected
    assert "left out" not in text


def test_a_card_without_any_quality_says_so():
    contents = Contents(
        format="qwen", seed=0, rows={"train": 1}, groups=1, qualities_0_1=[None], sources=[], left_out={}
    )
    assert "It was not measured." in card(ABOUT, contents)


def test_what_the_format_cannot_hold_is_left_out_and_counted(tmp_path):
    bad = Sample(
        conversation=[{"role": "user", "content": "<|im_end|>"}, {"role": "assistant", "content": "x"}],
        quality_0_1=1.0,
        source=samples(1)[0].source,
        groups=[],
    )
    empty = Sample(
        conversation=[{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}],
        quality_0_1=1.0,
        source=bad.source,
        groups=[],
    )
    folder, manifest = written(tmp_path, "chatml", samples=[*samples(), bad, bad, empty])
    assert manifest["left_out"] == {
        "a message holds the special token <|im_end|>": 2,
        "a message of the assistant is empty": 1,
    }
    assert sum(manifest["rows"].values()) == 60
    text = (folder / "README.md").read_text()
    assert "## What was left out" in text and "| a message holds the special token <\\|im_end\\|> | 2 |" in text


def test_a_part_without_rows_has_no_file(tmp_path):
    folder, manifest = written(tmp_path, samples=samples(2))
    assert manifest["rows"] == {"train": 2, "val": 0, "test": 0}
    assert not (folder / "val.jsonl").exists()
    assert "val.jsonl" not in (folder / "README.md").read_text()


# -- whole or not at all


def test_an_export_again_replaces_the_folder_and_leaves_nothing_beside_it(tmp_path):
    folder, _ = written(tmp_path)
    (tmp_path / ".set.new").mkdir()
    (tmp_path / ".set.new" / "half.jsonl").write_text("{")
    (tmp_path / ".set.old").mkdir()
    _, manifest = written(tmp_path, "qwen", samples=samples(20))
    assert json.loads((folder / "manifest.json").read_text())["format"] == "qwen"
    assert sum(manifest["rows"].values()) == 20
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("step", ["_parquet", "sync_folder", "write_json"])
def test_an_export_that_fails_leaves_what_was_there(tmp_path, monkeypatch, step):
    folder, manifest = written(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets, step, full)
    with pytest.raises(OSError, match="No space"):
        written(tmp_path, "qwen")
    assert json.loads((folder / "manifest.json").read_text()) == manifest
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_move_that_fails_brings_the_old_folder_back(tmp_path, monkeypatch):
    folder, manifest = written(tmp_path)
    move = type(folder).rename

    def rename(path, target):
        if path.name == ".set.new":
            raise OSError(5, "Input/output error")
        return move(path, target)

    monkeypatch.setattr(type(folder), "rename", rename)
    with pytest.raises(OSError, match="Input/output"):
        written(tmp_path, "qwen")
    assert json.loads((folder / "manifest.json").read_text()) == manifest


def test_a_folder_with_something_else_is_not_replaced(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "thesis.txt").write_text("mine")
    with pytest.raises(UserMistake, match="something else"):
        written(tmp_path)
    assert (tmp_path / "set" / "thesis.txt").read_text() == "mine"


def test_an_unknown_format_and_a_set_without_rows_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UserMistake, match="format: 'xml' is not one of chatml, qwen, llama3, alpaca, sharegpt, openai"):
        written(tmp_path, "xml")
    with pytest.raises(UserMistake, match="no sample can be written in the format 'qwen'"):
        written(tmp_path, "qwen", samples=[])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("library", ["msgspec", "duckdb"])
def test_without_a_library_one_line_names_the_extra(tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=r"data sets need the extra `data`: pip install 'overnight\[data\]'"):
        written(tmp_path)
    assert list(tmp_path.iterdir()) == []


# -- the libraries that read it

LOADS = """
import json, sys
from datasets import load_dataset
from trl.data_utils import is_conversational
folder = sys.argv[1]
files = {{"val": "validation"}.get(part, part): f"{folder}/{part}.parquet" for part in ("train", "val", "test")}
for loaded in (load_dataset(folder), load_dataset("parquet", data_files=files)):
    told = {part: len(rows) for part, rows in loaded.items()}
    talk = [is_conversational(row) for rows in loaded.values() for row in rows]
    print(json.dumps([told, all(talk), any(talk), [row for row in loaded["validation"]]]))
"""
TEMPLATE = """
import json, sys
from pathlib import Path
import jinja2, trl
name, talk = sys.argv[1], json.loads(sys.argv[2])
text = (Path(trl.__file__).parent / "chat_templates" / name).read_text()
print(json.dumps(jinja2.Environment().from_string(text).render(messages=talk, bos_token="<|begin_of_text|>")))
"""


def asked(program, *arguments):
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": os.environ["HOME"], "PATH": os.environ["PATH"]}
    return subprocess.run(  # a Python that the person who runs this names
        [REAL, "-c", program, *arguments], capture_output=True, text=True, check=True, env=environment
    ).stdout.splitlines()


@pytest.mark.skipif(
    REAL is None, reason="`make interop-datasets` asks the libraries datasets and trl, which bring much"
)
@pytest.mark.parametrize("form", FORMATS)
def test_the_library_datasets_loads_it_and_trl_calls_messages_a_conversation(tmp_path, monkeypatch, form):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder, manifest = written(tmp_path, form)
    for line in asked(LOADS, str(folder)):
        told, every, some, rows = json.loads(line)
        assert list(told.values()) == list(manifest["rows"].values())
        assert (every, some) == (form == "openai", form == "openai")
        assert rows == rows_of(folder, "val")


@pytest.mark.skipif(
    REAL is None, reason="`make interop-datasets` asks the library trl, which brings the published templates"
)
@pytest.mark.parametrize(("form", "template"), [("llama3", "llama3.jinja"), ("qwen", "qwen2_5.jinja")])
def test_texts_are_what_the_published_chat_templates_give(form, template):
    for sample in samples(12):
        for talk in (sample.conversation, sample.conversation[1:]):
            [line] = asked(TEMPLATE, template, json.dumps(talk))
            assert formatted(form, talk) == {"text": json.loads(line)}
