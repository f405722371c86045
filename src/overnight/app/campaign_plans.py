"""From the `[campaigns.NAME]` tables to what a campaign is, and what its pilot has to reach."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from overnight.app.campaign_external import external_of
from overnight.base.campaign_settings import CampaignSettings, DomainSettings, ThenSettings
from overnight.base.config import Config
from overnight.base.errors import ConfigError, UnknownName, UserMistake
from overnight.base.schema import Value, validate
from overnight.base.settings import environment
from overnight.base.vocabulary import suggestion
from overnight.campaigns.gate import Specification
from overnight.campaigns.generators.loading import BUILT_IN, DRAWN, LLM, PYTHON, llm_settings
from overnight.campaigns.intake import Terms
from overnight.campaigns.orders import Campaign, Domain
from overnight.campaigns.planning import shares
from overnight.campaigns.quality import checked_weights

MIXTURE: Mapping[str, float] = {
    "python_bugs": 0.25,
    "python_predict": 0.15,
    "python_doc": 0.05,
    "sql_tasks": 0.33,
    "regex_tasks": 0.22,
}
"""The parts of a campaign that names no domains."""
LEAST_CODE, MOST_DOC = 0.40, 0.10
"""Of a mixture of built-in generators: the least part of repaired and predicted code, and the most of docstrings, from
which published ablations show no gain."""
NEAR: Mapping[str, float] = {"python_bugs": 0.97, "python_predict": 0.95}
"""From when on two samples of these generators count as one; see `DomainSettings.near_duplicates`."""
CANDIDATES = 10
"""Times the target, where nothing else is set."""
WISHES = (
    "target", "pilot_size", "min_pilot_samples", "quality_threshold", "workers", "auto_launch", "active_learning",
    "output_name", "budget_usd", "budget_tokens",
)  # fmt: skip
"""Settings that one run may have of its own."""
ASKED = "what this run asks for"


_BASE_GB, _EACH_GB = 0.5, 0.5
"""Of a campaign, and of each process that makes samples: of Python code it takes 0.4 GB, and more for moments."""


def settings_of(config: Config, known: Sequence[str], name: str, wishes: Mapping[str, Any]) -> CampaignSettings:
    """Return the settings of a campaign, with the wishes of one run.

    Raises:
        UnknownName: there is no such campaign.
        ConfigError, UserMistake: a wish is unknown, or not allowed.
    """
    if name not in known:
        like = suggestion(name, known)
        raise UnknownName(f"there is no campaign {name!r}{like}; a table [campaigns.{name}] makes one")
    for key in wishes:
        if key not in WISHES:
            raise UserMistake(f"a run of a campaign has no setting {key!r} of its own{suggestion(key, WISHES)}")
    if not wishes:
        return config.campaigns.get(name, CampaignSettings())
    asked: dict[tuple[str, ...], Value] = {
        ("campaigns", name, key): Value(content=value, origin=ASKED) for key, value in wishes.items()
    }
    checked = validate(asked).campaigns[name]
    return replace(config.campaigns.get(name, CampaignSettings()), **{key: getattr(checked, key) for key in wishes})


def plan_of(
    config: Config, state_dir: Path, known: Sequence[str], name: str, wishes: Mapping[str, Any]
) -> tuple[Campaign, Specification, float]:
    """Return the campaign, what its pilot has to reach, and the gigabytes that its processes may take.

    Raises:
        UnknownName: there is no such campaign.
        ConfigError, UserMistake: its settings do not go together.
    """
    settings = settings_of(config, known, name, wishes)
    workers = settings.workers or os.cpu_count() or 1
    external = external_of(name, settings, config.project_dir, workers)
    targets = {} if external is not None else _targets(name, settings_of(config, known, name, {}))
    if "target" in wishes and targets:
        # A run that wants another number wants it in the same parts.
        targets = _without_none(shares(targets, settings.target))
    domains = [_domain(name, one, settings, target) for one, target in targets.items()]
    _check_mixture(name, domains, settings.target)
    specification = Specification(
        quality_threshold=settings.quality_threshold,
        min_samples=settings.min_pilot_samples,
        pilot_size=settings.pilot_size,
        rule=settings.gate,
        domains={one.name: one.quality_threshold for one in domains if one.quality_threshold is not None},
        planted=external is None,
    )
    campaign = Campaign(
        name=name,
        folder=str(state_dir / "campaigns" / name),
        project=str(config.project_dir),
        domains=domains,
        target=settings.target,
        pilot_size=settings.pilot_size,
        most=settings.max_candidates or CANDIDATES * settings.target,
        workers=workers,
        seed=settings.seed,
        active=settings.active_learning,
        packages=_installed(name, settings),
        evaluation=_evaluation(config, name, settings),
        auto_launch=settings.auto_launch,
        then=_then(name, settings.then, None if external is not None else [one.name for one in domains]),
        external=external,
    )
    return campaign, specification, settings.memory_gb or _BASE_GB + _EACH_GB * workers


def _targets(name: str, settings: CampaignSettings) -> dict[str, int]:
    """Return how many accepted samples of each domain there are to be; together they are the campaign's target."""
    given = {domain: one.target for domain, one in settings.domains.items() if one.target is not None}
    open_ = [domain for domain, one in settings.domains.items() if one.target is None]
    left = settings.target - sum(given.values())
    if not settings.domains:
        return _without_none(shares(MIXTURE, settings.target))
    if left < len(open_) or (left > 0 and not open_):
        raise ConfigError(
            f"campaigns.{name}: the targets of its domains are {sum(given.values()):,} together, and its own is "
            f"{settings.target:,}" + (f"; nothing is left for {', '.join(open_)}" if open_ else "")
        )
    rest = shares(dict.fromkeys(open_, 1), left) if open_ else {}
    return {domain: given.get(domain, rest.get(domain, 0)) for domain in settings.domains}


def _without_none(targets: Mapping[str, int]) -> dict[str, int]:
    """Return the domains that are to have any samples."""
    return {domain: target for domain, target in targets.items() if target}


def _domain(campaign: str, name: str, settings: CampaignSettings, target: int) -> Domain:
    one = settings.domains.get(name, DomainSettings())
    generator = one.generator or name
    where = f"campaigns.{campaign}.domains.{name}"
    if generator not in BUILT_IN and ":" not in generator:
        raise ConfigError(f"{where}.generator: there is no generator {generator!r}{suggestion(generator, BUILT_IN)}")
    terms = Terms(
        weights=checked_weights(one.weights),
        accept_from=one.accept_from,
        near=one.near_duplicates or NEAR.get(generator, Terms().near),
        per_skeleton=one.per_skeleton,
    )
    return Domain(
        name=name,
        generator=generator,
        target=target,
        settings=_checked_settings(where, generator, one.settings, settings),
        terms=terms,
        quality_threshold=one.quality_threshold,
    )


def _checked_settings(
    where: str, generator: str, given: Mapping[str, Any], campaign: CampaignSettings
) -> Mapping[str, Any]:
    """Return the settings of a generator; those of a language model have the campaign's budgets.

    Raises:
        ConfigError: a language model cannot be asked with them.
    """
    if generator != LLM:
        return given
    budgets = {"budget_usd": campaign.budget_usd, "budget_tokens": campaign.budget_tokens}
    for key in budgets.keys() & given.keys():
        raise ConfigError(f"{where}.settings: {key} is one of the campaign, which all of its domains spend together")
    found = {**given, **{key: value for key, value in budgets.items() if value is not None}}
    try:
        llm_settings(found, environment())
    except UserMistake as error:
        raise ConfigError(f"{where}.settings: {error}") from None
    return found


def _check_mixture(name: str, domains: list[Domain], target: int) -> None:
    """Refuse a mixture of built-in generators that has too little code, or too many docstrings."""
    if len(domains) < 2 or any(domain.generator not in (*PYTHON, *DRAWN) for domain in domains):
        return
    parts = {kind: sum(one.target for one in domains if one.generator == kind) for kind in BUILT_IN}
    code, doc = parts["python_bugs"] + parts["python_predict"], parts["python_doc"]
    if code < int(LEAST_CODE * target) - len(domains):
        raise ConfigError(
            f"campaigns.{name}: python_bugs and python_predict are {code:,} of {target:,}; at least {LEAST_CODE:.0%} "
            "of a mixture of built-in generators has to be code that was run"
        )
    if doc > MOST_DOC * target + 1:
        raise ConfigError(f"campaigns.{name}: python_doc is {doc:,} of {target:,}; at most {MOST_DOC:.0%} may be")


def _evaluation(config: Config, name: str, settings: CampaignSettings) -> tuple[str, ...]:
    found = [config.project_dir / file for file in settings.evaluation]
    for path in found:
        if not path.is_file():
            raise ConfigError(f"campaigns.{name}.evaluation: there is no file {path}")
    return tuple(str(path) for path in found)


def _then(name: str, settings: ThenSettings, domains: Sequence[str] | None) -> dict[str, Any]:
    """Return what follows as JSON; `domains` are None where a program of its own makes the samples.

    Raises:
        ConfigError: it cannot.
    """
    where = f"campaigns.{name}.then"
    if domains is None and (settings.export or settings.job):
        raise ConfigError(f"{where}: a program of its own makes the samples; there are none here to export or train on")
    for output, of in settings.export.items():
        for domain in of:
            if domain not in (domains or ()):
                raise ConfigError(
                    f"{where}.export.{output}: there is no domain {domain!r}{suggestion(domain, domains or ())}"
                )
    if settings.copy is not None and not settings.export:
        raise ConfigError(f"{where}.copy: there is nothing to copy; export = {{ NAME = [] }} writes a data set")
    told = asdict(settings)
    return {**told, "export": {output: list(of) for output, of in settings.export.items()}, "ssh": list(settings.ssh)}


def _installed(name: str, settings: CampaignSettings) -> tuple[str, ...]:
    for package in settings.packages:
        try:
            distribution(package)
        except PackageNotFoundError:
            raise ConfigError(f"campaigns.{name}.packages: {package!r} is not installed here") from None
    return settings.packages
