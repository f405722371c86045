"""One training as it runs in a child process: from a snapshot to a saved version and its answers on held-out items.

Everything is measured here, from answers that were made without sight of a target; what the agent says about itself is
only passed on. The naive rival is fitted on the training part and answers about the same held-out items.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from overnight.base.errors import (
    ConfigError,
    NotMeasured,
    PermanentError,
    UserMistake,
    said_by,
)
from overnight.base.files import write_json
from overnight.base.ports import ChildContext
from overnight.proof.measures import spearman
from overnight.proof.metrics import Metric, measure
from overnight.training.agents import Record, TrainContext, TrainReport, train_agent
from overnight.training.failing import final
from overnight.training.measuring import Answers, Twin, answers_of, best_of, groups_of, metric_of, rival_of, truths_of
from overnight.training.versions import ABOUT, AGENT, AgentSpec, Trained, context_of, save_version, train_version

VERSION = "version"
"""The folder of the version, below the one that a training works in."""
SNAPSHOT, HELD_OUT, ANSWERS = "snapshot.jsonl", "held_out.json", "answers.json"
"""What a training reads and writes there: its records, the ids that it may not learn from, and what was answered."""
STEPS = 4


def train_job(
    ctx: ChildContext,
    *,
    agent: Mapping[str, Any],
    work: str,
    champion: Mapping[str, Any] | None,
    parents: Mapping[str, str],
    seed: int,
    best: Mapping[str, Any] | None = None,
    strategy: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train one agent and return what was measured.

    `agent` holds the fields of AgentSpec. `work` is a folder with SNAPSHOT and HELD_OUT; into it go the version and
    ANSWERS. `champion` holds the `folder` and the `number` of the version that serves, `best` those of the best version
    so far where the gate compares with that one, `parents` the version folders of the agents that this one comes after.
    Measured on are those of the held-out items that none of these versions has seen. `strategy` is the one of strategy
    learning that the agent's settings follow from, and is passed on.

    Returns `records` (trained on), `held_out` (measured on), `metric` (None: not measured) and its `best` value,
    `baseline` (its name), `measured` (figures of the candidate, the champion, the best version and the baseline),
    `kept` (how the agent's state was kept: "saved", "handed back" or None), `reported` (what the agent says),
    `unusable` (why the champion, or else the best version, could not be loaded) and `strategy`.

    Raises:
        ConfigError, NotMeasured, PermanentError: see `train_version` and `answers_of`. What an agent raises is
            permanent too, because the same records and seed would raise it again; only what the machine does (files,
            memory) is worth another try.
    """
    with final():
        folder = Path(work)
        spec = AgentSpec.from_dict(agent)
        records = _lines(folder / SNAPSHOT)
        held_out = frozenset(json.loads((folder / HELD_OUT).read_text()))
        paths = {name: Path(path) for name, path in parents.items()}
        left = sum(record["id"] not in held_out for record in records)
        if left < 2:
            raise _too_few(spec, records, left, len(records) - left)
        ctx.progress(0, STEPS, step="training")
        context = context_of(spec, paths, seed)
        candidate, report, kept = _train(ctx, spec, records, held_out, paths, context, folder / VERSION)
        ctx.progress(1, STEPS, step="measuring")

        def twin(rows: Sequence[Record]) -> Any:  # Any: the project's own class
            other = ctx.received() if spec.class_ is None else spec.make()
            train_agent(other, rows, context)
            return other

        rivals = {who: one for who, one in (("champion", champion), ("best", best)) if one is not None}
        measured = _measure(ctx, candidate, records, held_out, folder, rivals, twin)
        told = {"records": report.records, "reported": report.reported, "kept": kept, "strategy": strategy}
        return {**told, **measured}


def _train(  # noqa: PLR0917  # the parts of one training
    ctx: ChildContext,
    spec: AgentSpec,
    records: Sequence[Record],
    held_out: frozenset[str],
    parents: Mapping[str, Path],
    context: TrainContext,
    folder: Path,
) -> tuple[Trained, TrainReport, str | None]:
    """Train and save the agent; return what will serve, what it says, and how its state was kept."""
    trained, report = train_version(
        spec, records, held_out=held_out, parents=parents, context=context, agent=_handed_over(spec, ctx)
    )
    if not save_version(trained, folder, parents):
        kept = "handed back" if spec.class_ is None and _hand_back(trained.agent, ctx) else None
        return trained, report, kept
    if spec.class_ is None:
        # There is no class to make another one of: the instance itself takes in what it saved.
        trained.agent.load(folder / AGENT)
        return trained, report, "saved"
    # It goes before its saved version comes: both together would be the peak of the memory.
    del trained
    return Trained.load(folder), report, "saved"


NOT_MEASURED: dict[str, Any] = {
    "metric": None,
    "metric_title": None,
    "best": None,
    "held_out": 0,
    "baseline": None,
    "measured": {},
    "unusable": None,
}


def _measure(  # noqa: PLR0917  # the parts of one training
    ctx: ChildContext,
    candidate: Trained,
    records: Sequence[Record],
    held_out: frozenset[str],
    folder: Path,
    rivals: Mapping[str, Mapping[str, Any]],
    twin: Twin,
) -> dict[str, Any]:
    """Measure the candidate, the versions that it may be compared with and the naive rival on the same items."""
    training = [record for record in records if record["id"] in candidate.learnt]
    metric = metric_of(candidate, training)
    if metric is None:
        return NOT_MEASURED
    loaded, unusable = _loaded(rivals, ctx)
    unseen = held_out.difference(candidate.seen, *(rival.seen for rival in loaded.values()))
    items = [record for record in records if record["id"] in unseen]
    if len(items) < 2:
        raise _too_few(candidate.spec, records, len(training), len(items))
    truths, groups = truths_of(candidate, metric, items), groups_of(candidate, items)
    answers: dict[str, Answers] = {"candidate": answers_of(candidate, metric, items)}
    ctx.progress(2, STEPS, step="measuring the champion")
    for who, rival in loaded.items():
        answers[who] = _answers_of_rival(rival, metric, items, rivals[who])
    ctx.progress(3, STEPS, step="measuring the baseline")
    naive = rival_of(candidate, metric, training, items, twin)
    if naive is not None:
        answers["baseline"] = naive.answers
    ids = [item["id"] for item in items]
    write_json(
        folder / ANSWERS, {"metric": metric.name, "ids": ids, "groups": groups, "truths": truths, "answers": answers}
    )
    ctx.progress(STEPS, STEPS, step="done")
    return {
        "metric": metric.name,
        "metric_title": metric.title,
        "best": best_of(candidate, metric, answers),
        "held_out": len(items),
        "baseline": None if naive is None else naive.name,
        "measured": {name: _figures(metric, truths, one, groups) for name, one in answers.items()},
        "unusable": unusable,
    }


def _too_few(spec: AgentSpec, records: Sequence[Record], training: int, measured: int) -> NotMeasured:
    return NotMeasured(
        f"agent {spec.name!r}: {len(records)} records are too few: {training} to train on and {measured} to measure "
        "with, at least 2 and 2 are needed"
    )


def _answers_of_rival(rival: Trained, metric: Metric, items: Sequence[Record], version: Mapping[str, Any]) -> Answers:
    try:
        return answers_of(rival, metric, items)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise _cannot_be_measured(version, error) from error


def _figures(
    metric: Metric, truths: Answers | None, answers: Answers, groups: Sequence[str] | None
) -> dict[str, float | None]:
    """Return the metric (`value`, higher is better) and, for numbers, Spearman's rank correlation with the truth."""
    figures: dict[str, float | None] = {"value": measure(metric, truths, answers, groups)}
    if metric.answers == "numbers" and truths is not None:
        constant = len(set(answers)) < 2 or len(set(truths)) < 2
        figures["spearman"] = None if constant else spearman(answers, truths)
    return figures


def _lines(path: Path) -> list[Record]:
    with path.open("rb") as lines:
        return [json.loads(line) for line in lines]


def _handed_over(spec: AgentSpec, ctx: ChildContext) -> Any:  # Any: the caller's own instance
    """Return the instance that the host handed over; None for an agent that is made of its class."""
    if spec.class_ is not None:
        return None
    agent = ctx.received()
    if agent is None:
        raise PermanentError(
            f"the instance of agent {spec.name!r} is gone with the process that made it; train it again"
        )
    return agent


def _hand_back(agent: Any, ctx: ChildContext) -> bool:  # Any: as above
    """Give the trained instance back; False where it cannot be transferred, so that its state is not kept."""
    try:
        ctx.hand_back(agent)
    except UserMistake:
        return False
    return True


def read_answers(work: Path) -> dict[str, Any]:
    """Return what `train_job` wrote about every measured item.

    Raises:
        PermanentError: it is gone.
    """
    try:
        text = (work / ANSWERS).read_text()
    except FileNotFoundError as error:
        raise PermanentError(f"the answers of the training are gone from {work}; train again") from error
    return json.loads(text)  # type: ignore[no-any-return]  # JSON


def _loaded(rivals: Mapping[str, Mapping[str, Any]], ctx: ChildContext) -> tuple[dict[str, Trained], str | None]:
    """Return the versions; one whose class is gone, so that it cannot serve either, is left out with the reason.

    Raises:
        PermanentError: a class is there, but fails: nobody can tell whether the candidate is better.
    """
    found: dict[str, Trained] = {}
    unusable = None
    for who, version in rivals.items():
        try:
            found[who] = Trained.load(Path(version["folder"]), ctx.received())
        except ConfigError as error:
            called = "champion" if who == "champion" else "best version so far"
            unusable = unusable or f"{called} {version['number']} can no longer be loaded: {error}"
        except (OSError, MemoryError):
            raise
        except Exception as error:
            raise _cannot_be_measured(version, error) from error
    return found, unusable


def _cannot_be_measured(version: Mapping[str, Any], error: Exception) -> PermanentError:
    about = json.loads((Path(version["folder"]) / ABOUT).read_text())["spec"]
    return PermanentError(
        f"version {version['number']} of agent {about['name']!r} cannot be measured: {said_by(error)}; "
        f"repair {about['class_']!r}, or give the agent a class of another name and remove this one"
    )
