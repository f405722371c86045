"""What the documentation shows is true: its code runs, and what is written from the code is up to date."""

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import overnight
from overnight import Project
from overnight.base.settings import load_config
from overnight.resources.probes.hooks import can_release
from overnight.resources.probes.services import check

ROOT = Path(__file__).parents[2]


def code_blocks(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(), re.S)


def test_the_ten_lines_of_the_readme_run(tmp_path):
    [program] = code_blocks(ROOT / "README.md")
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "hello world\n"), done.stderr


@pytest.mark.parametrize("word", ["setup", "demo"])
def test_what_makes_the_command_known_is_said_by_the_readme_and_at_the_end_of_the_first_words(word):
    assert ". .venv/bin/activate" in (ROOT / "README.md").read_text()
    done = subprocess.run(["make", "-n", word], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ". .venv/bin/activate" in done.stdout.splitlines()[-1]


def test_the_fleet_of_the_concepts_is_trained(tmp_path):
    [program] = code_blocks(ROOT / "docs" / "concepts-training.md")
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "success REJECT 6\n"), done.stderr


def test_the_external_generator_of_the_how_to_is_one(tmp_path):
    text = (ROOT / "docs" / "how-to-external-generator.md").read_text()
    (tmp_path / "overnight.toml").write_text("\n".join(re.findall(r"```toml\n(.*?)```", text, re.S)))
    with overnight.Project.open(tmp_path) as project:
        plan, _, _ = project.campaigns.plan("code", {"workers": 3})
    assert plan.external.full[3:] == ["34500", "--out", "full_campaign_34500", "--processes", "3"]
    assert set(plan.external.patterns) == {"progress", "quality"}


def test_the_flow_of_the_concepts_runs(tmp_path):
    [program] = code_blocks(ROOT / "docs" / "concepts-engine.md")
    names: dict[str, object] = {"measure": lambda version: {"version": version, "error": 0.1}}
    exec(program.replace("flow.sleep(3600)", "flow.sleep(0)"), names)
    with overnight.Project.create(tmp_path) as project:
        project.add_task(overnight.Task(task_id="release", action=names["release"]))
        project.add_task(overnight.Task(task_id="deploy", action=lambda version: f"{version} is up", executor="thread"))
        with project.running():
            run_id = project.submit("release", {"version": "v2"})
            while not project.questions():
                project.wait(run_id, 0.02)
            [question] = project.questions()
            assert question.prompt == "Release v2?"
            project.answer(question.question_id, "yes")
            assert project.result(run_id, 10) == {
                "released": True,
                "deploy": "v2 is up",
                "measured": {"version": "v2", "error": 0.1},
            }


def test_the_generator_of_the_how_to_makes_a_campaign(tmp_path):
    page = ROOT / "docs" / "how-to-campaign.md"
    generator, program = code_blocks(page)
    settings, of_a_model = re.findall(r"```toml\n(.*?)```", page.read_text(), re.S)
    for name, text in {"dates.py": generator, "program.py": program, "overnight.toml": settings}.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("campaign_complete 230 APPROVED\n"), done.stdout + done.stderr
    assert len((tmp_path / "dates_qwen" / "train.jsonl").read_text().splitlines()) > 150
    assert (tmp_path / ".overnight" / "campaigns" / "dates" / "datasets" / "all" / "manifest.json").is_file()
    (tmp_path / "overnight.toml").write_text(of_a_model)
    with Project.open(tmp_path) as project:
        plan, _, _ = project.campaigns.plan("talks", {})
        assert plan.domains[0].settings["budget_usd"] == 5.0


def test_the_services_of_the_concepts_can_be_pasted(tmp_path):
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "concepts-memory.md").read_text(), re.S)
    (tmp_path / "overnight.toml").write_text("\n".join(blocks))
    services = load_config(tmp_path).services
    for name, service in services.items():
        check(name, service)
    assert {name for name, service in services.items() if can_release(service)} == {
        "chat",
        "ollama",
        "sglang",
        "comfyui",
    }
    assert set(services) >= {"coder", "tgi"}


def test_the_reference_of_the_settings_is_what_the_code_says():
    spec = spec_from_file_location("build_docs", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    build = module_from_spec(spec)
    spec.loader.exec_module(build)
    assert (ROOT / "docs" / "reference" / "settings.md").read_text() == build.settings(), "run `make docs`"


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
