"""Asks an idle service to give its memory back, and wakes it after.

What waking needs is found out before anything is asked (`prepare`), so that it can be written down first: whoever comes
after a crash can still wake the service. All calls may be made again.

vLLM: POST /sleep and /wake_up, which it has with VLLM_SERVER_DEV_MODE=1 and --enable-sleep-mode
(https://docs.vllm.ai/en/latest/features/sleep_mode/). Ollama: POST /api/generate without a prompt loads a model, or
unloads it with `keep_alive` 0 (https://docs.ollama.com/faq).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from overnight.base.clock import Clock, to_datetime
from overnight.base.errors import TransientError
from overnight.base.resource_settings import CallSettings, ServiceSettings
from overnight.resources.probes.activity import below, ollama_models
from overnight.resources.probes.call import call, call_json

HOOK_S = 300.0
"""How long a service may take: a large model is read from disk."""
PINNED_DAYS = 365
"""What Ollama keeps for longer than this was loaded with a negative `keep_alive`, to stay."""


def can_release(settings: ServiceSettings) -> bool:
    """Tell whether the service knows how to give memory back."""
    return settings.release.url is not None or settings.kind in ("vllm", "ollama")


def prepare(settings: ServiceSettings, clock: Clock) -> dict[str, Any]:
    """Return what `release` and `wake` will ask, as JSON-able values. Changes nothing.

    Nothing else is needed to wake it: its settings may be gone by then.

    Raises:
        TransientError: the service does not tell.
    """
    if settings.release.url is not None:
        return {"release": _given(settings.release), "wake": _given(settings.wake)}
    if settings.kind == "vllm":
        url = below(settings, "/is_sleeping")
        answer = call_json("GET", url)
        asleep = answer.get("is_sleeping") if isinstance(answer, dict) else None
        if not isinstance(asleep, bool):
            raise TransientError(f"{url}: did not answer as vLLM does")
        if asleep:
            # It was sent to sleep by somebody else, and is theirs to wake.
            return {"release": [], "wake": []}
        # A request that came since is finished first; versions that do not know `mode` cut it off.
        return {
            "release": [_asked(below(settings, "/sleep?level=1&mode=wait"))],
            "wake": [_asked(below(settings, "/wake_up"))],
        }
    url, now = below(settings, "/api/generate"), to_datetime(clock.now_us())
    loaded = ollama_models(settings).items()
    stay = {name: {"keep_alive": -1} if (until - now).days > PINNED_DAYS else {} for name, until in loaded}
    return {
        "release": [_asked(url, {"model": name, "keep_alive": 0, "stream": False}) for name in stay],
        "wake": [_asked(url, {"model": name, **more, "stream": False}) for name, more in stay.items()],
    }


def release(prepared: Mapping[str, Any]) -> None:
    """Ask a service to give its memory back; `prepared` is what `prepare` returned.

    Raises:
        TransientError: it does not, or not all of it.
    """
    _ask(prepared.get("release", []))


def wake(prepared: Mapping[str, Any]) -> None:
    """Wake a service; `prepared` is what `prepare` returned before it was asked to give memory back.

    Raises:
        TransientError: it does not wake, or not all of it.
    """
    _ask(prepared.get("wake", []))


def _given(settings: CallSettings) -> list[dict[str, Any]]:
    return [] if settings.url is None else [_asked(settings.url, settings.body or None, settings.method)]


def _asked(url: str, body: Mapping[str, Any] | None = None, method: str = "POST") -> dict[str, Any]:
    return {"method": method, "url": url, "body": body}


def _ask(calls: Sequence[Mapping[str, Any]]) -> None:
    problems = []
    for one in calls:
        body = one["body"]
        try:
            call(one["method"], one["url"], body, timeout_s=HOOK_S)
        except TransientError as error:
            problems.append(f"{body['model']}: {error}" if len(calls) > 1 else str(error))
    if problems:
        raise TransientError("; ".join(problems))
