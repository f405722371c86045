"""What follows once a campaign has all its samples: data sets, copies of them, a training job; each part is a step."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from overnight.campaigns import ledger
from overnight.campaigns.orders import Campaign
from overnight.data.delivery import deliver
from overnight.data.delivery_ssh import SSH
from overnight.db.database import Database
from overnight.engine.flow import Flow
from overnight.flows.campaign.export import export, outputs_of

DATASETS = "datasets"
"""The folder of a campaign's data sets, in its own."""
Train = Callable[[str, str, int, Sequence[Mapping[str, Any]]], str]
"""Submits a training job: model_type, job_id, epochs and experiences; returns its id."""
Json = dict[str, Any]


def then(flow: Flow, database: Database, campaign: Campaign, campaign_id: int, train: Train) -> Json:
    """Do what follows, and return what was done: `export`, `copy` and `job`, as far as they are asked for.

    Raises:
        UserMistake, TransientError, OSError: a part could not be done; those before it are, and are not done again.
    """
    told: Mapping[str, Any] = campaign.then
    done: Json = {}
    folder = Path(campaign.folder) / DATASETS
    for name, domains in told.get("export", {}).items():
        written = flow.step(f"export {name}", _export, database, campaign, name, domains, told["format"])
        done.setdefault("export", {})[name] = written
        if told.get("copy"):
            target = f"{str(told['copy']).rstrip('/')}/{name}"
            ssh = told["ssh"] or SSH
            done.setdefault("copy", {})[name] = flow.step(f"copy {name}", _copy, folder / name, target, ssh)
    if told.get("job"):
        job_id = f"{campaign.name}-{flow.run_id}"
        made = partial(train, told["job"], job_id, told["epochs"])
        done["job"] = flow.step("job", _job, database, campaign_id, told["job"], made)
    return done


def _export(database: Database, campaign: Campaign, name: str, domains: Sequence[str], form: str) -> Json:
    outputs = outputs_of({name: domains}, Path(campaign.folder) / DATASETS)
    [manifest] = export(database, campaign.name, outputs, form=form, seed=campaign.seed)
    return {"folder": manifest["folder"], "rows": manifest["rows"], "left_out": manifest["left_out"]}


def _copy(folder: Path, target: str, ssh: Sequence[str]) -> Json:
    return asdict(deliver(folder, target, ssh=ssh))


def _job(database: Database, campaign_id: int, model_type: str, train: Callable[[Sequence[Json]], str]) -> str:
    with database.read() as connection:
        samples = list(_experiences(ledger.exported(connection, campaign_id), model_type))
    return train(samples)


def _experiences(samples: Iterator[ledger.Exported], model_type: str) -> Iterator[Json]:
    """Yield each sample as an experience: all before the answer is the input."""
    for one in samples:
        *before, answer = json.loads(one.body)["messages"]
        asked = "\n\n".join(message["content"] for message in before)
        yield {
            "id": one.sample_id,
            "type": model_type,
            "input": asked,
            "expected_output": answer["content"],
            "success": True,
            "confidence": 1.0,
        }
