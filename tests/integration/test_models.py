"""`overnight models` on a real project: look, compare, tag, carry elsewhere, remove what nobody needs; every mistake
is one line and changes nothing."""

import hashlib
import json
import os
import pickle
import tarfile
from pathlib import Path

import pytest

from overnight import Project
from overnight.app import collecting
from overnight.app.carrying import _digest
from overnight.base.clock import SystemClock
from overnight.base.errors import DamagedBlob, InvalidTransition, PermanentError, UnknownName, UserMistake
from overnight.cli import app as cli
from overnight.registry import artifacts, store
from overnight.registry.store import Candidate
from overnight.testing.clock import FakeClock

SIGNATURE = {"trainer": "small:Line", "settings": {"rate": 0.1}, "outputs": {"type": "number"}}
VERDICT = {"decision": "ACCEPT", "difference": 0.1, "lower": 0.02, "upper": 0.18}
HOUR_S = 3600


def add(project, *, model="nlu", serve=False, shared="weights", job="j", **changes):
    """Register a version with two files: one of its own, and one that versions of the same `shared` have in common."""
    with project.database.read() as connection:
        number = 1 + max(store.runs_of_versions(connection), default=0)
    folder = project.folder / "made"
    folder.mkdir(exist_ok=True)
    (folder / "about.json").write_text(json.dumps({"run": number, "model": model}))
    (folder / "words.txt").write_text(shared * 100)
    registry = project.trainings.registry
    values = {
        "model": model,
        "run_id": number,
        "snapshot_id": f"{number:064x}",
        "manifest": registry.put(folder),
        "signature": SIGNATURE,
        "metrics": {"metric": "accuracy", "figures": {"val_metric": 0.5 + number / 100}, "job_id": f"{job}{number}"},
        "verdict": VERDICT,
        "code": {"overnight": "0.1.0", "commit": "c" * 40, "changed": True},
        **changes,
    }
    return project.database.writer.do(
        lambda tx: registry.register(tx, Candidate(**values), serve=serve, why=f"better than {number - 1}")
    )


@pytest.fixture
def project(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "overnight.toml").write_text('[registry]\nkeep = 2\n[models.nlu]\ndeploy = "immediate"\n')
    with Project.open(tmp_path / "p") as made:
        yield made


@pytest.fixture
def run(project, capsys):
    def run(*words, code=0, place=project.folder):
        assert cli.main(["--project", str(place), "models", *map(str, words)]) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return run


def aged(project):
    """Make the blobs older than the hour within which they stay whatever happens."""
    for path in (project.state_dir / "blobs").glob("??/*"):
        os.utime(path, (path.stat().st_mtime - 2 * HOUR_S,) * 2)


def blobs(project):
    return {path.name for path in (project.state_dir / "blobs").glob("??/*")}


def digests(version):
    return {about["sha256"] for about in version.manifest.values()}


# -- looking


def test_without_versions_the_list_says_how_one_is_made(run):
    assert "no versions yet; `overnight jobs submit TYPE" in run("list")
    assert json.loads(run("list", "--json")) == []


def test_the_list_shows_what_serves_what_is_newest_and_the_tags(project, run):
    add(project, serve=True)
    add(project)
    add(project, model="voice")
    run("tag", "nlu", "v1.0.0", "gold")
    [nlu, voice] = [line.split() for line in run("list").splitlines()[1:]]
    assert nlu == ["nlu", "v1.0.0", "v1.0.1", "2", "gold=v1.0.0"] and voice == ["voice", "-", "v1.0.0", "1"]
    newest, oldest = run("list", "nlu").splitlines()[1:]
    assert newest.startswith("v1.0.1 ") and "accuracy 0.52" in newest and "serves" not in newest
    assert oldest.startswith("v1.0.0 ") and "serves" in oldest and "ACCEPT" in oldest and oldest.endswith("gold")


def test_a_version_is_shown_with_all_that_it_can_be_traced_to(project, run):
    add(project, serve=True)
    add(project)
    shown = run("show", "nlu", "newest")
    for part in (
        "nlu v1.0.1", "parent ", "v1.0.0", "run 2 (overnight runs show 2), job j2", f"{2:064x}", "lower ", "0.02",
        f"commit {'c' * 40}, with changes that were not committed", "about.json", "json ", "words.txt", "text ",
        *digests(project.model_version("nlu")),
    ):  # fmt: skip
        assert part in shown, part
    assert run("show", "nlu").startswith("nlu v1.0.0\n")
    told = json.loads(run("show", "nlu", "v1.0.1", "--json"))
    assert (told["model_type"], told["version"], told["parent"], told["serves"]) == ("nlu", "v1.0.1", "v1.0.0", False)
    assert (told["run_id"], told["job_id"], told["verdict"]["upper"], told["artifact_removed"]) == (2, "j2", 0.18, None)


def test_words_tags_and_numbers_name_a_version(project):
    first, second, third = (add(project, serve=number < 2) for number in range(3))
    project.tag_model("nlu", "previous", "gold")
    found = [project.model_version("nlu", ref).number for ref in ("champion", "previous", "newest", "gold", "v1.0.1")]
    assert found == [second.number, first.number, third.number, first.number, second.number]


def test_a_diff_tells_signature_settings_metrics_verdicts_and_files(project, run):
    add(project, shared="a")
    changed = {**SIGNATURE, "settings": {"rate": 0.2}}
    add(project, shared="b", signature=changed, verdict={**VERDICT, "lower": -0.1, "decision": "REJECT"})
    found = json.loads(run("diff", "nlu", "v1.0.0", "v1.1.0", "--json"))
    assert found["signature"] == {"settings.rate": [0.1, 0.2]}
    assert found["metrics"]["figures.val_metric"] == [0.51, 0.52]
    assert found["verdict"] == {"decision": ["ACCEPT", "REJECT"], "lower": [0.02, -0.1]}
    assert found["files"] == {"added": [], "removed": [], "changed": ["about.json", "words.txt"]}
    assert found["snapshot"] == [f"{1:064x}", f"{2:064x}"]
    text = run("diff", "nlu", "v1.0.0", "newest")
    assert "signature settings.rate" in text and "file words.txt" in text and "other content" in text
    assert "do not differ" in run("diff", "nlu", "newest", "v1.1.0")


def test_the_history_says_what_served_when_by_whom_and_why(project, run):
    assert "no version of nlu has served yet" in (add(project), run("history", "nlu"))[1]
    add(project, serve=True)
    add(project, serve=True)
    told = json.loads(run("history", "nlu", "--json"))
    assert [(one["version"], one["by"], one["why"]) for one in told] == [
        ("v1.0.2", "gate", "better than 2"), ("v1.0.1", "gate", "better than 1"),
    ]  # fmt: skip
    assert run("history", "nlu").splitlines()[1].startswith("v1.0.2 ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "nul"), "there is no version of a model 'nul'; did you mean nlu?"),
        (("show", "nlu", "v1.0.9"), "there is no version 'v1.0.9' of model 'nlu'; did you mean v1.0.0?"),
        (("show", "nlu", "champion"), "there is no champion of model 'nlu': no version of it serves"),
        (("show", "nlu", "previous"), "there is no previous of model 'nlu': no other version has served before"),
        (("history", "other"), "there is no version of a model 'other'"),
        (("tag", "nlu", "v1.0.0", "champion"), "the tag 'champion' means a version already"),
        (("tag", "nlu", "v1.0.0", "a b"), "the tag 'a b' is not a name"),
        (("tag", "nlu", "v1.0.0", "gold", "--remove"), "nlu v1.0.0 has no tag 'gold'; it has none"),
        (("gc", "nul"), "there is no version of a model 'nul'"),
        (("gc", "nlu", "v3.0.0"), "there is no version 'v3.0.0' of model 'nlu'"),
        (("import", "nowhere"), "there is no folder or file nowhere"),
    ],
)
def test_a_mistake_is_one_line_with_what_was_meant(project, run, words, message):
    add(project)
    said = run(*words, code=2)
    assert said.startswith(f"overnight: {message}") and said.count("\n") == 1


def test_a_tag_moves_only_when_it_is_forced(project, run):
    add(project), add(project)
    assert run("tag", "nlu", "v1.0.0", "gold") == "nlu v1.0.0: tagged gold\n"
    assert run("tag", "nlu", "v1.0.0", "gold") == "nlu v1.0.0: tagged gold\n"
    assert "nlu v1.0.0 has the tag 'gold'; --force moves it to v1.0.1" in run("tag", "nlu", "v1.0.1", "gold", code=2)
    assert project.model("nlu").tags == {"gold": "v1.0.0"}
    assert json.loads(run("tag", "nlu", "v1.0.1", "gold", "--force", "--json"))["tags"] == ["gold"]
    assert "nlu v1.0.1 has no tag 'silver'" in run("tag", "nlu", "v1.0.1", "silver", "--remove", code=2)
    assert run("tag", "nlu", "gold", "gold", "--remove") == "nlu v1.0.1: no tags\n"
    assert project.model("nlu").tags == {}


# -- removing


def test_what_nobody_needs_goes_and_what_is_known_of_it_stays(project, run):
    versions = [add(project, serve=number in (0, 1)) for number in range(6)]
    project.tag_model("nlu", "v1.0.2", "gold")
    aged(project)
    planned = json.loads(run("gc", "--dry-run", "--json"))
    assert [one["version"] for one in planned["versions"]] == ["v1.0.3"]
    own = digests(versions[3]) - digests(versions[0])
    assert planned["bytes"] == sum(one["size"] for one in versions[3].manifest.values() if one["sha256"] in own)
    assert blobs(project) >= own
    done = json.loads(run("gc", "--json"))
    assert done == {**planned, "dry_run": False}
    assert blobs(project) == set().union(*map(digests, versions)) - own
    gone = project.model_version("nlu", "v1.0.3")
    assert gone.removed_us is not None and (gone.metrics, gone.verdict) == (versions[3].metrics, versions[3].verdict)
    with pytest.raises(PermanentError, match=r"the artifact of nlu v1\.0\.3 was removed on"):
        artifacts.fetch(project.artifacts, gone, project.folder / "back")
    for version in (*versions[:3], *versions[4:]):
        artifacts.fetch(project.artifacts, version, project.folder / "back")
    assert "its artifact was removed" in run("show", "nlu", "v1.0.3") and "removed" in run("list", "nlu")
    assert run("gc").startswith("0 artifacts, 0 bytes set free")
    assert "was removed; a tag would not bring it back" in run("tag", "nlu", "v1.0.3", "x", code=2)


def test_what_was_written_within_the_hour_goes_with_a_later_pass(project):
    first, *_ = [add(project, shared=f"{number}") for number in range(3)]
    assert collecting.collect(project).bytes == 0 and digests(first) <= blobs(project)
    aged(project)
    assert collecting.collect(project).versions == []
    assert not digests(first) & blobs(project)


def test_a_blob_that_is_stored_again_meanwhile_stays(project):
    first, *_ = [add(project, shared=f"{number}") for number in range(3)]
    collecting.collect(project)
    aged(project)
    again = project.artifacts.put(("0" * 100).encode())
    assert again in digests(first)
    collecting.collect(project)
    assert digests(first) & blobs(project) == {again}


@pytest.mark.parametrize(
    ("ref", "why"),
    [("v1.0.1", "it serves"), ("v1.0.0", "it served before the one that serves"), ("v1.0.2", "it is tagged gold")],
)
def test_one_that_is_needed_is_not_removed_though_it_is_named(project, run, ref, why):
    for number in range(4):
        add(project, serve=number < 2)
    project.tag_model("nlu", "v1.0.2", "gold")
    assert run("gc", "nlu", ref, code=2) == f"overnight: the artifact of nlu {ref} stays: {why}\n"
    assert run("gc", "nlu", "v1.0.3").startswith("nlu v1.0.3: its artifact is removed\n")


def test_what_is_being_rolled_out_stays(project):
    for number in range(7):
        add(project, serve=number in (1, 6))
    project.deploy("nlu", "v1.0.0")
    kept = collecting.collect(project, dry_run=True)
    assert [one.number for one in kept.versions] == ["v1.0.4", "v1.0.3", "v1.0.2"]
    with pytest.raises(InvalidTransition, match="it is being rolled out"):
        collecting.collect(project, "nlu", "v1.0.0")


@pytest.mark.parametrize("storage", ["folder", "memory"])
def test_versions_lie_where_the_settings_say(tmp_path, storage):
    clock = FakeClock(SystemClock().now_us())
    where = "models" if storage == "folder" else f"memory://{tmp_path.name}"
    overrides = {"registry.storage": where, "registry.keep": 1}
    with Project.create(tmp_path / "p", overrides=overrides, clock=clock) as project:
        first, second = add(project, shared="a"), add(project, shared="b")
        assert not (project.state_dir / "blobs").exists()
        assert (project.folder / "models").is_dir() == (storage == "folder")
        clock.advance(2 * HOUR_S)
        assert [one.number for one in collecting.collect(project).versions] == ["v1.0.0"]
        artifacts.fetch(project.artifacts, second, tmp_path / "back")
        for digest in digests(first):
            with pytest.raises(UnknownName):
                project.artifacts.get(digest)


# -- carrying


@pytest.fixture
def other(tmp_path):
    with Project.create(tmp_path / "other") as made:
        yield made


@pytest.mark.parametrize("target", ["out", "out.tar"])
def test_a_version_goes_to_another_project_whole_and_serves_nobody_there(project, run, other, tmp_path, target):
    add(project)
    version = add(project, serve=True)
    assert "2 files" in run("export", "nlu", "champion", tmp_path / target)
    told = []
    other.database.writer.told = lambda events, news: told.extend(events)
    assert "nlu v1.0.1: 2 files; it does not serve" in run("import", tmp_path / target, place=other.folder)
    found = other.model_version("nlu")
    for part in ("number", "snapshot_id", "manifest", "signature", "metrics", "verdict", "code"):
        assert getattr(found, part) == getattr(version, part)
    assert abs(found.created_us - version.created_us) < 1000 and found.run_id is None
    assert (found.origin["project"], found.origin["run_id"], found.origin["job_id"]) == ("p", 2, "j2")
    artifacts.fetch(other.artifacts, found, tmp_path / "back")
    assert json.loads((tmp_path / "back" / "about.json").read_text()) == {"run": 2, "model": "nlu"}
    assert other.model("nlu").serving is None
    assert "another project; it was imported" in run("show", "nlu", place=other.folder)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    assert add(other).number == "v1.0.2"


def test_an_import_is_told_as_any_version_and_twice_is_once(project, other, tmp_path):
    add(project)
    project.export_model("nlu", "newest", tmp_path / "out")
    told = []
    other.database.writer.told = lambda events, news: told.extend(events)
    first, again = other.import_model(tmp_path / "out"), other.import_model(tmp_path / "out")
    assert first == again and told == [{"event": "model_ready", "model": "nlu", "version": "v1.0.0", "serves": False}]


def test_an_artifact_that_was_removed_comes_back_by_an_import(project, tmp_path):
    for _ in range(3):
        add(project)
    project.export_model("nlu", "v1.0.0", tmp_path / "out")
    collecting.collect(project)
    aged(project)
    collecting.collect(project)
    back = project.import_model(tmp_path / "out")
    assert back.removed_us is None and back.run_id == 1
    artifacts.fetch(project.artifacts, back, tmp_path / "back")


def test_a_number_that_another_version_has_is_refused_and_another_model_takes_it(project, other, tmp_path):
    add(project), add(other, model="x"), add(other)
    project.export_model("nlu", "newest", tmp_path / "out")
    with pytest.raises(UserMistake, match=r"nlu v1\.0\.0 is here already and is another version; --as NAME"):
        other.import_model(tmp_path / "out")
    assert other.import_model(tmp_path / "out", name="theirs").model == "theirs"


def test_a_target_that_is_there_is_left_alone(project, run, tmp_path):
    add(project)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    for target in (tmp_path / "full", tmp_path / "full" / "mine"):
        assert "exists already; name a new folder" in run("export", "nlu", "newest", target, code=2)
    assert "there is no folder" in run("export", "nlu", "newest", tmp_path / "no" / "where", code=2)
    (tmp_path / "empty").mkdir()
    run("export", "nlu", "newest", tmp_path / "empty")


def test_a_damaged_artifact_is_not_exported(project, tmp_path):
    version = add(project)
    digest = version.manifest["words.txt"]["sha256"]
    (project.state_dir / "blobs" / digest[:2] / digest).write_bytes(b"x" * 700)
    with pytest.raises(DamagedBlob, match=r"nlu v1\.0\.0: words\.txt: "):
        project.export_model("nlu", "newest", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def exported(project, tmp_path):
    add(project)
    project.export_model("nlu", "newest", tmp_path / "out")
    return tmp_path / "out"


def change_about(folder, **changes):
    about = json.loads((folder / "version.json").read_text())
    (folder / "version.json").write_text(json.dumps({**about, **changes}))


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (
            lambda folder: (folder / "files" / "words.txt").write_text("other"),
            "files/words.txt is not what was exported",
        ),
        (lambda folder: (folder / "files" / "words.txt").unlink(), "is not whole: files/words.txt is missing"),
        (lambda folder: (folder / "files" / "new.txt").touch(), "files/new.txt is not among the files"),
        (lambda folder: (folder / "version.json").unlink(), "it has no version.json"),
        (lambda folder: (folder / "version.json").write_text("{"), "its version.json cannot be read"),
        (lambda folder: (folder / "version.json").write_text("[]"), "its version.json cannot be read"),
        (lambda folder: change_about(folder, metrics={"accuracy": 1.0}), "version.json is not what was exported"),
        (lambda folder: change_about(folder, format=9), "format 9 is not known here"),
    ],
)
def test_an_archive_that_was_altered_is_refused_and_nothing_is_taken(project, other, tmp_path, alter, message):
    folder = exported(project, tmp_path)
    alter(folder)
    with pytest.raises(UserMistake, match=message):
        other.import_model(folder)
    assert other.models() == [] and not (other.state_dir / "blobs").exists()


def tar_with(path: Path, **member):
    with tarfile.open(path, "w") as archive:
        about = tarfile.TarInfo(member.pop("name"))
        for name, value in member.items():
            setattr(about, name, value)
        archive.addfile(about)
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda path: tar_with(path, name="../evil"),
        lambda path: tar_with(path, name="/etc/evil"),
        lambda path: tar_with(path, name="files/../../evil"),
        lambda path: tar_with(path, name="files/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        lambda path: path.write_bytes(b"no tar at all" * 100),
        lambda path: path.write_bytes(b""),
    ],
)
def test_a_tar_file_of_something_else_is_refused_and_nothing_is_written(other, tmp_path, make):
    path = tmp_path / "inner" / "out.tar"
    path.parent.mkdir()
    make(path)
    with pytest.raises(UserMistake, match="is no exported version"):
        other.import_model(path)
    assert not (tmp_path / "evil").exists() and other.models() == []


def test_a_pickle_in_an_archive_is_refused(project, other, tmp_path):
    folder = exported(project, tmp_path)
    content = pickle.dumps({"a": 1})
    (folder / "files" / "words.txt").write_bytes(content)
    about = json.loads((folder / "version.json").read_text())
    about["files"]["words.txt"]["sha256"] = hashlib.sha256(content).hexdigest()
    told = {name: value for name, value in about.items() if name != "sha256"}
    (folder / "version.json").write_text(json.dumps({**told, "sha256": _digest(told)}))
    with pytest.raises(UserMistake, match=r"'words\.txt' is refused: it is a pickle"):
        other.import_model(folder)
