"""What comes of a campaign: data sets, copies, a training job, a report, and samples to leaf through."""

import json
from collections import defaultdict

import pytest

from overnight import Campaign, Project
from overnight.app import campaign_outputs, campaigns
from overnight.base.errors import ConfigError, RunFailed, UserMistake
from overnight.cli.app import main
from overnight.flows.campaign.export import Output

DOMAIN = '[campaigns.sums.domains.{name}]\ngenerator = "small_generator:Sums"\nsettings = {{ cells = {cells} }}\n'
HEAD = "[campaigns.sums]\ntarget = 120\npilot_size = 40\nmin_pilot_samples = 30\nworkers = 1\n"


def write(folder, more="", head=HEAD):
    folder.mkdir(exist_ok=True)
    domains = DOMAIN.format(name="plain", cells=2) + DOMAIN.format(name="other", cells=1).replace("Sums", "Others")
    (folder / "overnight.toml").write_text(f"[engine.retry]\nbase_s = 0.05\n{head}{more}{domains}")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with a campaign that is complete, and what came of it."""
    folder = tmp_path_factory.mktemp("made") / "p"
    copies = folder.parent / "copies"
    write(
        folder,
        f'[campaigns.sums.then]\nexport = {{ all = [], part = ["plain"] }}\nformat = "openai"\ncopy = "{copies}"\n'
        'job = "sums"\n[training.models.sums]\ncommand = ["sleep", "600"]\nmemory_gb = 0.1\n',
    )
    return folder, Campaign(project=folder).run()


def rows_of(folder):
    return {
        part: [json.loads(line) for line in (folder / f"{part}.jsonl").read_text().splitlines()]
        for part in ("train", "val", "test")
    }


def test_what_follows_is_done_once_all_samples_are_there(made):
    folder, found = made
    assert (found["phase"], found["accepted"]) == ("campaign_complete", 120)
    then = found["then"]
    assert {name: sum(one["rows"].values()) for name, one in then["export"].items()} == {"all": 120, "part": 60}
    for name, copied in then["copy"].items():
        here = folder / ".overnight" / "campaigns" / "sums" / "datasets" / name
        there = folder.parent / "copies" / name
        assert copied["target"] == str(there)
        assert (there / "manifest.json").read_bytes() == (here / "manifest.json").read_bytes()
        assert (there / "train.jsonl").read_bytes() == (here / "train.jsonl").read_bytes()
    with Project.open(folder) as project:
        job = project.job(then["job"])
        assert job.model_type == "sums"


def test_an_export_has_each_sample_once_and_keeps_a_source_in_one_part(made, tmp_path):
    folder, _ = made
    assert Campaign(project=folder).export(tmp_path / "out", form="openai")["format"] == "openai"
    parts = rows_of(tmp_path / "out")
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 96, "val": 12, "test": 12}
    texts = [json.dumps(row) for rows in parts.values() for row in rows]
    assert len(set(texts)) == 120
    where = defaultdict(set)
    for part, rows in parts.items():
        for row in rows:
            asked = row["messages"][0]["content"]
            cell, left = asked.split(":")[0], int(asked.split()[1])
            where[cell, (left - 13) // 7919 // 4].add(part)
    assert {len(found) for found in where.values()} == {1}, "four numbers of a cell share a source"
    card = (tmp_path / "out" / "README.md").read_text()
    assert "CC0-1.0" in card and "pilot APPROVED" in card and "120 by the generator sums/1" in card


def test_an_export_of_nothing_or_of_what_is_not_there_is_refused(made, tmp_path):
    folder, _ = made
    with Project.open(folder) as project:
        with pytest.raises(UserMistake, match="has no samples of 'plane'; did you mean plain"):
            campaign_outputs.export(project, "sums", [Output(folder=tmp_path / "x", domains=("plane",))])
        (tmp_path / "mine").mkdir()
        with pytest.raises(UserMistake, match="something else in its place"):
            campaign_outputs.export(project, "sums", [Output(folder=tmp_path / "mine")])
    write(tmp_path / "q")
    with Project.open(tmp_path / "q") as project, pytest.raises(UserMistake, match="was never begun"):
        campaign_outputs.export(project, "sums", [Output(folder=tmp_path / "x")])


def test_a_copy_that_cannot_be_made_fails_the_run_and_not_the_campaign(tmp_path):
    (tmp_path / "file").write_text("")
    more = f'[campaigns.sums.then]\nexport = {{ all = [] }}\ncopy = "{tmp_path / "file"}"\n'
    write(tmp_path / "p", more)
    with pytest.raises(RunFailed):
        Campaign(project=tmp_path / "p").run()
    with Project.open(tmp_path / "p") as project:
        found = campaigns.status(project, "sums")
        assert (found["phase"], found["accepted"], found["run"]["state"]) == ("campaign_complete", 120, "FAILED")


@pytest.mark.parametrize(
    ("then", "why"),
    [
        ('export = { all = ["plane"] }', "then.export.all: there is no domain 'plane'; did you mean plain"),
        ('copy = "/tmp"', "then.copy: there is nothing to copy"),
        ('format = "chat"', "then.format: 'chat' is not"),
    ],
)
def test_what_cannot_follow_is_refused_before_anything_is_made(tmp_path, then, why):
    write(tmp_path / "p", f"[campaigns.sums.then]\n{then}\n")
    with pytest.raises(ConfigError) as error:
        Campaign(project=tmp_path / "p").run()
    assert why in str(error.value)


def test_samples_that_stand_in_an_evaluation_set_are_refused(tmp_path):
    said = "c0: 13 apples and 0 apples of apples box 0 make how many? They make 13."
    write(tmp_path / "p", head=HEAD + 'evaluation = ["benchmark.jsonl"]\n')
    (tmp_path / "p" / "benchmark.jsonl").write_text(json.dumps({"question": said}) + "\n")
    found = Campaign(project=tmp_path / "p").run()
    assert found["phase"] == "campaign_complete"
    with Project.open(tmp_path / "p") as project:
        stand = campaign_outputs.stand_of(project, "sums")
        with project.database.read() as connection:
            from overnight.campaigns import reading

            [sample, *_] = reading.samples_page(connection, stand.campaign_id, reason="in an evaluation set")
    assert "benchmark.jsonl, line 1" in sample.detail


class TestCommandLine:
    def run(self, folder, capsys, *words):
        code = main(["--project", str(folder), "campaign", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    def test_export_report_inspect_status_and_logs(self, made, capsys, tmp_path):
        folder, _ = made
        code, out, _ = self.run(folder, capsys, "export", "--format", "qwen", "--output", str(tmp_path / "q"))
        assert code == 0 and "96 train, 12 val, 12 test (qwen)" in out
        code, out, _ = self.run(folder, capsys, "export", "--output", "a=plain", "--output", "b=other,plain", "--json")
        assert [sum(one["rows"].values()) for one in json.loads(out)] == [60, 120]
        code, out, _ = self.run(folder, capsys, "report")
        assert code == 0 and "120 of 120" in out and "APPROVED by version" in out and "by chance, computed" in out
        assert "<html" in (folder / ".overnight/campaigns/sums/report.html").read_text()
        code, out, _ = self.run(folder, capsys, "inspect", "--reason", "accepted", "--domain", "plain")
        assert code == 0 and "plain" in out and "They make" in out
        code, out, _ = self.run(folder, capsys, "status")
        assert code == 0 and "campaign complete" in out and "copied to" in out
        code, out, _ = self.run(folder, capsys, "logs", "-n", "3")
        assert code == 0 and "[CampaignMonitor] INFO: Progress: 120/120 (100.0%)" in out

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            (("export", "--output", "x="), "neither a folder nor NAME=DOMAIN"),
            (("export", "--format", "wide"), "is not one of chatml"),
            (("status", "sms"), "there is no campaign 'sms'; did you mean sums"),
            (("launch", "--force", " "), "--force: say why"),
            (("auto", "--campaign-target", "0"), "target: 0 is below 1"),
            (("stop",), "is not running: campaign_complete"),
        ],
    )
    def test_what_is_asked_wrongly_is_answered_in_one_line(self, made, capsys, words, why):
        code, _, err = self.run(made[0], capsys, *words)
        assert code != 0 and why in err
        assert err.count("\n") == 1

    def test_auto_sees_a_campaign_through_and_says_how_it_ended(self, tmp_path, capsys):
        write(tmp_path / "p")
        code, out, err = self.run(tmp_path / "p", capsys, "auto", "--no-auto-launch")
        assert code == 0 and "validation complete" in out and "pilot: " in err
        code, out, _ = self.run(tmp_path / "p", capsys, "launch", "--json")
        assert (code, json.loads(out)["phase"]) == (0, "campaign_complete")
        code, out, _ = self.run(tmp_path / "p", capsys, "pilot", "--quality-threshold", "0.99")
        assert code == 1 and "pilot REJECTED" in out
        code, _, err = self.run(tmp_path / "p", capsys, "resume")
        assert code == 1, "the same pilot, judged the same"
