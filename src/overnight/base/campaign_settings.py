"""The tables of `overnight.toml` about campaigns; see `base.config`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

from overnight.base.table import Table


@dataclass(frozen=True, kw_only=True)
class DomainSettings(Table):
    """`[campaigns.NAME.domains.DOMAIN]`: one kind of samples of a campaign."""

    generator: str | None = None
    """Who makes them: "python_bugs", "python_predict", "python_doc", "sql_tasks", "regex_tasks", "llm" (a language
    model), or the project's own as "module:Class"; without it, the one that is called like the domain."""

    target: Annotated[int, Ge(1)] | None = None
    """Accepted samples of it; without it, it has an equal part of what the others leave of the campaign's."""

    quality_threshold: Annotated[float, Gt(0), Le(1)] | None = None
    """Quality, 0 to 1, that its part of the pilot has to reach, beside that of the whole."""

    accept_from: Annotated[float, Ge(0), Le(1)] = 0.5
    """Lowest quality, 0 to 1, at which a sample is accepted."""

    near_duplicates: Annotated[float, Gt(0), Lt(1)] | None = None
    """Share of equal shingles (Jaccard) from which two samples count as one; without it, 0.97 for python_bugs, 0.95 for
    python_predict, of which two show the same function and ask something else, and 0.88 for all others."""

    per_skeleton: Annotated[int, Ge(1)] = 5
    """Samples of one skeleton that are accepted at the most."""

    weights: Mapping[str, float] = field(default_factory=dict)
    """Weights of diversity (0.30), consistency (0.20), groundedness (0.30) and coherence (0.20), where others are
    wanted."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the generator itself is given."""


@dataclass(frozen=True, kw_only=True)
class ThenSettings(Table):
    """`[campaigns.NAME.then]`: what follows once all samples are there, each part a step of its own."""

    export: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Data sets to write, by name, each of the samples of some domains ([]: of all)."""

    format: Literal["chatml", "qwen", "llama3", "alpaca", "sharegpt", "openai"] = "chatml"
    """The form of the conversations in them."""

    copy: str | None = None
    """Where each data set is copied to, into a folder of its name: a folder, an fsspec URL such as "s3://BUCKET/FOLDER",
    or "ssh://HOST/FOLDER"."""

    ssh: tuple[str, ...] = ()
    """The ssh client with its options, as a list of words; without it, `ssh`."""

    job: str | None = None
    """The model_type of a training job that gets all samples, as `input` and `expected_output`."""

    epochs: Annotated[int, Ge(1)] = 1
    """Epochs of that job."""


@dataclass(frozen=True, kw_only=True)
class PatternSettings(Table):
    """`[campaigns.NAME.patterns]`: what the lines of a generator's log mean, where it is a program of its own."""

    progress: tuple[str, ...] = ()
    """Regular expressions with the groups `done` and `total`, and `domain` where domains are counted apart; the first
    that is found in a line counts. Without any, those that understand what many programs print; so for the others."""

    quality: tuple[str, ...] = ()
    """With the group `score`, from 0 to 1; with `of`, which is what a full score is, or `percent`, the sign."""

    accepted: tuple[str, ...] = ()
    """With the group `count`, how many so far, or without, where a line tells of one sample; with `domain`."""

    rejected: tuple[str, ...] = ()
    """As `accepted`."""


@dataclass(frozen=True, kw_only=True)
class CampaignSettings(Table):
    """`[campaigns.NAME]`: training data made at scale, after a pilot that has to be good."""

    target: Annotated[int, Ge(1)] = 34_500
    """Accepted samples in all."""

    pilot_size: Annotated[int, Ge(2)] = 190
    """Candidates of the pilot; those that are accepted belong to the campaign."""

    min_pilot_samples: Annotated[int, Ge(2)] = 150
    """Candidates of the pilot that have to be judged."""

    quality_threshold: Annotated[float, Gt(0), Le(1)] = 0.75
    """Quality, 0 to 1, that the pilot has to reach."""

    gate: Literal["point", "lower_bound", "upper_bound"] = "point"
    """What is compared with the threshold: the pilot's mean quality, or an end of its 95 % interval."""

    auto_launch: bool = True
    """Whether the campaign goes on by itself after a pilot that was approved."""

    workers: Annotated[int, Ge(1)] | None = None
    """Processes that make samples; without it, one for each core."""

    max_candidates: Annotated[int, Ge(1)] | None = None
    """Candidates that are made at the most, refused ones included; without it, ten times the target."""

    memory_gb: Annotated[float, Gt(0)] | None = None
    """Gigabytes (10^9 bytes) that its processes may take together; without it, 0.5, and 0.5 for each worker."""

    budget_usd: Annotated[float, Gt(0)] | None = None
    """US dollars that its language models may cost in all; a hard stop."""

    budget_tokens: Annotated[int, Gt(0)] | None = None
    """Tokens that its language models may take in all; a hard stop."""

    active_learning: bool = True
    """Whether candidates are made where the most is missing, instead of by chance."""

    seed: int = 1
    """What chance is drawn from."""

    packages: tuple[str, ...] = ()
    """Installed distributions whose functions the Python generators take, beside the standard library's."""

    evaluation: tuple[str, ...] = ()
    """Files (.jsonl, .txt, .py) of what models are measured on, relative to the project: samples that hold 13 words in
    a row of them, or their code under other names, are refused."""

    then: ThenSettings = field(default_factory=ThenSettings)
    """What follows once all samples are there."""

    domains: Mapping[str, DomainSettings] = field(default_factory=dict)
    """Its kinds of samples, by name; without any, the five built-in generators."""

    pilot_command: tuple[str, ...] = ()
    """Program and arguments that make the pilot, where a program of its own is the generator; run in the project's
    folder without a shell. `{target}` is how many samples are wanted, `{output_name}` and `{workers}` are the settings
    of that name."""

    full_command: tuple[str, ...] = ()
    """Program and arguments that make the whole campaign; as `pilot_command`."""

    output_name: Annotated[str, MinLen(1)] | None = None
    """What the commands are to call what they make; without it, full_campaign_TARGET."""

    log: Annotated[str, MinLen(1)] | None = None
    """File that the commands tell their progress in, relative to the project; without it, what they print."""

    poll_pilot_s: Annotated[float, Gt(0)] = 10.0
    """Seconds from one look at the log of a pilot to the next."""

    poll_full_s: Annotated[float, Gt(0)] = 60.0
    """Seconds from one look at the log of a whole campaign to the next."""

    start_s: Annotated[float, Gt(0)] = 300.0
    """Seconds after which a generator that has shown no sign of life is given up."""

    stall_s: Annotated[float, Gt(0)] = 1800.0
    """Seconds after which a generator that makes no further sample is given up."""

    patterns: PatternSettings = field(default_factory=PatternSettings)
    """What the lines of the log mean."""
