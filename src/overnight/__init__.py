"""Overnight keeps a fleet of agents and models getting better on its own, and proves it.

The public names are loaded on first use, so that `import overnight` costs next to nothing.
"""

from importlib import import_module as _import_module

_HOMES = {
    "ActContext": "training.acting",
    "Campaign": "app.campaign_api",
    "Client": "client.client",
    "Clock": "base.clock",
    "Config": "base.config",
    "Fleet": "app.fleets",
    "Flow": "engine.flow",
    "FlowChanged": "base.errors",
    "Needs": "engine.model",
    "OvernightError": "base.errors",
    "PermanentError": "base.errors",
    "Priority": "engine.model",
    "Project": "app.project",
    "Router": "serving.router",
    "Run": "engine.model",
    "RunContext": "base.ports",
    "RunFailed": "base.errors",
    "State": "engine.model",
    "Task": "engine.model",
    "TrainContext": "training.agents",
    "TrainingResult": "app.results",
    "TransientError": "base.errors",
    "UserMistake": "base.errors",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'overnight' has no attribute {name!r}")
    from overnight.base.loading import loading

    with loading():
        value = getattr(_import_module(f"overnight.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
