"""What an agent and its naive rival answer about items that the agent never saw, in the form that its metric takes.

Every figure follows from these answers. Which items are in one pool of documents, and their order, follow from hashes
of their ids, so that nothing about the right answer shows in them.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import Any

from overnight.base.errors import NotMeasured, PermanentError
from overnight.proof.baselines import Kind, fit_baseline
from overnight.proof.metrics import Metric, measure, metric_named
from overnight.proof.rankings import normal_scores, reciprocal_rank
from overnight.proof.splits import position
from overnight.training.agents import (
    Record,
    evaluate_agent,
    exemplars_of,
    label_agent,
    predict_agent,
    rank_agent,
)
from overnight.training.versions import Trained

POOL = 100
"""Documents that a retriever finds the right one among."""
RANDOM_EXEMPLARS = 20
"""Random choices of exemplars that chosen ones must beat on the average."""
SEED = 0
LARGEST = 1e100
"""Squares and sums of numbers up to this are numbers that a float can hold."""

Answers = list[Any]
"""A number, a label or a score for each item, as the metric takes them."""


@dataclass(frozen=True, kw_only=True)
class Rival:
    """What needs no learning, and its answers."""

    name: str
    answers: Answers


def metric_of(trained: Trained, training: Sequence[Record]) -> Metric | None:
    """Return what the agent is measured by: what its settings or its class name, or what suits what it can answer.

    Raises:
        UserMistake: there is no metric of that name.
    """
    spec, agent = trained.spec, trained.agent
    named = spec.metric or getattr(agent, "metric", None)
    if isinstance(named, str):
        return metric_named(named)
    if spec.target is not None and callable(getattr(agent, "predict", None)):
        number = all(_is_number(record[spec.target]) for record in training)
        return metric_named("absolute_error" if number else "macro_f1")
    return metric_named("score") if callable(getattr(agent, "evaluate", None)) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def best_of(trained: Trained, metric: Metric, answers: Mapping[str, Answers]) -> float | None:
    """Return the best value of the metric; None where an agent scores itself and does not tell.

    Without a word about it, scores from 0 to 1 are taken for shares, of which 1 is the best, and scores of 0 and below
    for errors with a minus, of which 0 is.
    """
    if metric.best is not None or trained.spec.best is not None:
        return trained.spec.best if metric.best is None else metric.best
    scores = [score for one in answers.values() for score in one]
    if all(0 <= score <= 1 for score in scores):
        return 1.0
    return 0.0 if all(score <= 0 for score in scores) else None


def truths_of(trained: Trained, metric: Metric, items: Sequence[Record]) -> Answers | None:
    """Return the right answers; None where the metric takes scores, which have none."""
    target = trained.spec.target
    if metric.answers == "scores":
        return None
    if target is None:
        raise NotMeasured(f"agents.{trained.spec.name}.target: missing; {metric.name} compares answers with a target")
    if metric.answers == "labels":
        return [str(item[target]) for item in items]
    try:
        return [float(item[target]) for item in items]
    except (TypeError, ValueError) as error:
        raise PermanentError(
            f"agents.{trained.spec.name}.target: {target!r} is not a number in every record, which {metric.name} needs"
        ) from error


def groups_of(trained: Trained, items: Sequence[Record]) -> list[str] | None:
    """Return which query each item belongs to; None where there are no groups."""
    group = trained.spec.group
    return None if group is None else [str(item.get(group)) for item in items]


def answers_of(trained: Trained, metric: Metric, items: Sequence[Record]) -> Answers:
    """Return what the agent answers; it sees no target, but where it scores itself.

    Raises:
        NotMeasured: it lacks the method that the metric needs.
        PermanentError: it answers anything else than it should.
    """
    if metric.name == "score":
        return evaluate_agent(trained.agent, trained.show(items, with_target=True))
    if metric.name == "reciprocal_rank":
        return _reciprocal_ranks(trained, items, lambda queries, pool: rank_agent(trained.agent, queries, pool))
    if metric.name == "exemplar_accuracy":
        return _hits(trained, exemplars_of(trained.agent), items)
    if metric.answers == "labels":
        return label_agent(trained.agent, trained.show(items))
    numbers = predict_agent(trained.agent, trained.show(items))
    for item, value in zip(items, numbers, strict=True):
        if abs(value) > LARGEST:
            raise PermanentError(
                f"agent {trained.spec.name!r} predicts {value:g} for item {item['id']!r}; "
                f"beyond {LARGEST:g} nothing is measured"
            )
    return numbers


Twin = Callable[[Sequence[Record]], Any]
"""Makes a new agent of the same kind and trains it on other records, as the agent itself sees them."""


def rival_of(
    trained: Trained, metric: Metric, training: Sequence[Record], items: Sequence[Record], twin: Twin
) -> Rival | None:
    """Return the naive rival, fitted on the training part; None where there is none for an agent that scores itself.

    Where several kinds of naive answers are possible, it is the one that does best on the held-out items themselves: in
    doubt for the rival.
    """
    if metric.name == "score":
        return _blind_twin(trained, training, items, twin)
    if metric.name == "reciprocal_rank":
        rivals = _naive_rankings(trained, training, items)
    elif metric.name == "exemplar_accuracy":
        rivals = [_random_exemplars(trained, training, items), _majority(trained, training, items)]
    elif metric.answers == "labels":
        rivals = [_column(trained, metric, training, items), _dealt(trained, training, items)]
    else:
        return _column(trained, metric, training, items)
    truths, groups = truths_of(trained, metric, items), groups_of(trained, items)
    return max(rivals, key=lambda rival: measure(metric, truths, rival.answers, groups))


def _column(trained: Trained, metric: Metric, training: Sequence[Record], items: Sequence[Record]) -> Rival:
    """Return the best of mean, median, majority and single columns; see `proof.baselines`."""
    target = _needed_target(trained)
    rows, shown = trained.show(training, with_target=True, in_training=True), trained.show(items)
    columns = [name for name in (trained.spec.inputs or rows[0]) if name not in ("id", target)]
    kind = Kind.CLASSIFICATION if metric.answers == "labels" else Kind.REGRESSION
    if kind is Kind.CLASSIFICATION:
        rows = [{**row, target: str(row[target])} for row in rows]
    elif metric.name != "absolute_error":
        # Only the order counts: the column that tells most about it must not lose to a few giants.
        ranks = normal_scores([float(row[target]) for row in rows])
        rows = [{**row, target: rank} for row, rank in zip(rows, ranks, strict=True)]
    fitted = fit_baseline(rows, target, columns, kind)
    return Rival(name=fitted.name, answers=fitted.predict(shown))


def _dealt(trained: Trained, training: Sequence[Record], items: Sequence[Record]) -> Rival:
    """Return labels in the proportions of the training part, dealt out by the hash of the id.

    What is measured by macro-F1 must beat this one too: it hits rare labels, which the majority never does.
    """
    target = _needed_target(trained)
    labels = sorted(str(record[target]) for record in training)
    dealt = [labels[int(position(item["id"], salt="", purpose="dealt") * len(labels))] for item in items]
    return Rival(name="labels dealt out in their proportions", answers=dealt)


def _majority(trained: Trained, training: Sequence[Record], items: Sequence[Record]) -> Rival:
    target = _needed_target(trained)
    counts = Counter(str(record[target]) for record in training)
    label = min(counts, key=lambda name: (-counts[name], name))
    return Rival(name="majority", answers=[float(str(item[target]) == label) for item in items])


def _blind_twin(trained: Trained, training: Sequence[Record], items: Sequence[Record], twin: Twin) -> Rival | None:
    """Return how an agent of the same kind scores itself that has learnt from shuffled columns.

    Each column keeps its values, and nothing of what they have to do with each other: what is left to learn is what a
    mean or a majority knows. None where such an agent cannot be trained.
    """
    rows = trained.show(training, with_target=True, in_training=True)
    try:
        scores = evaluate_agent(twin(shuffled(rows)), trained.show(items, with_target=True))
    except (Exception, SystemExit):  # noqa: BLE001 - whatever stops an agent that learns from nonsense
        return None
    return Rival(name="the agent trained on shuffled columns", answers=list(scores))


def shuffled(rows: Sequence[Record]) -> list[Record]:
    """Return the rows with the values of each column dealt out anew, their ids left as they are."""
    names = sorted({name for row in rows for name in row} - {"id"})
    deal = Random(SEED)  # noqa: S311 - not a secret
    columns = {name: deal.sample([row.get(name) for row in rows], len(rows)) for name in names}
    return [{"id": row["id"], **{name: columns[name][place] for name in names}} for place, row in enumerate(rows)]


# Retrieval.

Ranks = Callable[[Sequence[Record], Sequence[str]], list[list[float]]]


def _reciprocal_ranks(trained: Trained, items: Sequence[Record], ranks: Ranks) -> list[float]:
    """Return 1 / rank of each item's own document among those of its pool."""
    target = _needed_target(trained)
    found: dict[str, float] = {}
    for pool in _pools(items):
        documents = sorted({str(item[target]) for item in pool}, key=_by_hash)
        for item, scores in zip(pool, ranks(trained.show(pool), documents), strict=True):
            found[item["id"]] = reciprocal_rank(scores, documents.index(str(item[target])))
    return [found[item["id"]] for item in items]


def _by_hash(text: str) -> tuple[float, str]:
    return position(text, salt="", purpose="pool"), text


def _pools(items: Sequence[Record]) -> list[list[Record]]:
    """Divide the items into pools of about POOL, by a hash of their ids."""
    ordered = sorted(items, key=lambda item: _by_hash(item["id"]))
    count = max(1, round(len(ordered) / POOL))
    return [list(ordered[start::count]) for start in range(count)]


def _naive_rankings(trained: Trained, training: Sequence[Record], items: Sequence[Record]) -> list[Rival]:
    """Return the order of documents by popularity, and by the words that query and document share."""
    target = _needed_target(trained)
    chosen = Counter(str(record[target]) for record in training)
    ways: dict[str, Ranks] = {
        "popularity": lambda queries, pool: [[float(chosen[text]) for text in pool] for _ in queries],
        "shared words": _shared,
    }
    return [Rival(name=name, answers=_reciprocal_ranks(trained, items, ranks)) for name, ranks in ways.items()]


def _shared(queries: Sequence[Record], documents: Sequence[str]) -> list[list[float]]:
    asked = [
        {word for name, value in query.items() if name != "id" for word in str(value).lower().split()}
        for query in queries
    ]
    pool = [set(text.lower().split()) for text in documents]
    return [[float(len(words & one)) for one in pool] for words in asked]


# Exemplars.


def _hits(trained: Trained, exemplars: Sequence[Record], items: Sequence[Record]) -> list[float]:
    """Return 1 for each item whose nearest exemplar has its label, else 0."""
    from overnight.training.trainers.nearest import Nearest

    target = _needed_target(trained)
    labels = Nearest(trained.show(items), _columns(trained, items), target).labels(exemplars)
    return [float(label == str(item[target])) for label, item in zip(labels, items, strict=True)]


def _columns(trained: Trained, items: Sequence[Record]) -> list[str]:
    shown = trained.spec.inputs or sorted({name for item in items for name in item})
    return [name for name in shown if name not in ("id", trained.spec.target)]


def _random_exemplars(trained: Trained, training: Sequence[Record], items: Sequence[Record]) -> Rival:
    """Return the mean over many random choices, each with as many exemplars of each label as the agent chose."""
    from overnight.training.trainers.nearest import Nearest, random_exemplars

    target = _needed_target(trained)
    per_class = max(Counter(str(one.get(target)) for one in exemplars_of(trained.agent)).values())
    rows = trained.show(training, with_target=True, in_training=True)
    nearest = Nearest(trained.show(items), _columns(trained, items), target)
    tries = [nearest.labels(random_exemplars(rows, target, per_class, seed)) for seed in range(RANDOM_EXEMPLARS)]
    return Rival(
        name=f"random exemplars (mean of {RANDOM_EXEMPLARS})",
        answers=[
            fmean(label == str(item[target]) for label in labels)
            for item, labels in zip(items, zip(*tries, strict=True), strict=True)
        ],
    )


def _needed_target(trained: Trained) -> str:
    if trained.spec.target is None:
        raise NotMeasured(f"agents.{trained.spec.name}.target: missing; its metric compares answers with a target")
    return trained.spec.target
