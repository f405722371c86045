"""How rollouts begin: by whose wish, by which plan."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from overnight.app.rollout_tasks import ROLLOUT
from overnight.base.config import Config
from overnight.base.errors import ConfigError, InvalidTransition, UserMistake, one_line
from overnight.base.files import to_json
from overnight.db.writer import Tx
from overnight.engine.model import Priority
from overnight.engine.submit import Request, submit
from overnight.registry import deployments, store
from overnight.registry.deployments import Deployment
from overnight.registry.plans import Plan, plan_of
from overnight.registry.versions import Version

SALT_BITS = 62
DEFAULT = "gradual_rollout"


def begin(tx: Tx, candidate: Version, plan: Plan, by: str) -> Deployment:
    """Begin a rollout within a transaction.

    Raises:
        InvalidTransition: another rollout of this model has not ended, or the version's artifact was removed.
    """
    store.serialize(tx, candidate.model)
    store.check_kept(tx, candidate)
    champion = store.serving(tx.connection, candidate.model)
    other = deployments.open_of(tx.connection, candidate.model)
    if other is not None:
        raise InvalidTransition(
            f"deployment {other.deployment_id} of {other.model} {other.candidate} is {other.state.status} at "
            f"{other.percentage:g} %; `overnight rollout abort {other.deployment_id}` ends it"
        )
    if champion is None and not plan.shadow:
        # There is nobody to share the requests with.
        plan = plan_of("immediate")
    deployment_id = deployments.allocate(tx)
    run_id = start_flow(tx, deployment_id)
    return deployments.insert(
        tx,
        deployment_id=deployment_id,
        model=candidate.model,
        candidate=candidate.number,
        champion=None if champion is None else champion.number,
        plan=plan,
        salt=secrets.randbits(SALT_BITS),
        run_id=run_id,
        message="the version is being loaded",
        by=by,
    )


def start_flow(tx: Tx, deployment_id: int) -> int:
    """Submit a run that sees to a deployment, whatever is left to do for it, and return its id."""
    args = to_json({"deployment_id": deployment_id})
    [run_id] = submit(tx, [Request(task_id=ROLLOUT, priority=Priority.CRITICAL, args=args)])
    tx.news = True
    return run_id


def strategy_of(config: Config, model: str) -> str | None:
    """Return how a version that the gate accepted is rolled out; None: not at all."""
    settings = config.models.get(model)
    given = None if settings is None else settings.deploy
    if given is None:
        return "immediate" if model in config.agents else DEFAULT
    return None if given == "none" else given


def check(config: Config) -> None:
    """Refuse settings of rollouts that no rollout can have.

    Raises:
        ConfigError: one line says which, and why.
    """
    for model, one in config.models.items():
        if one.rollout:
            try:
                plan_for(config, model, strategy_of(config, model) or DEFAULT, {})
            except UserMistake as error:
                raise ConfigError(f"models.{model}.rollout: {one_line(error).removeprefix('config.')}") from None


def plan_for(settings_of: Config, model: str, strategy: str, config: Mapping[str, Any]) -> Plan:  # Any: JSON
    """Return the plan for what was asked for of a model, with the settings of the project.

    Raises:
        UserMistake: the strategy or its configuration cannot be used.
    """
    settings = settings_of.ab_test
    own = settings_of.models.get(model)
    config = {**({} if own is None else own.rollout), **config}
    plan = plan_of(strategy, config, ab_min_requests=settings.min_samples)
    if plan.strategy == "ab_test":
        if not settings.enabled:
            raise UserMistake("A/B tests are switched off; set ab_test.enabled = true")
        if "confidence" not in config:
            plan = replace(plan, confidence=settings.confidence)
    return plan
