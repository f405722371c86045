"""Experiences as programs send them, about the points of `small_trainer`."""

import json

from overnight.data.tables import experiences as table

OVERRIDES = {
    "training.models.line.trainer": "small_trainer:Line",
    "training.validation": 0.3,
    "training.min_experiences": 10,
    "engine.retry.base_s": 0.05,
    "server.port": 0,
}


def served(number, **more):
    """Return the experience of that number; two numbers are two experiences."""
    x = number / 1000
    told = {"input": x, "expected_output": 2 * x - 1, "success": True, "confidence": 0.9}
    return {"type": "point", **told, "metadata": {"number": number}, **more}


def some(*numbers, **more):
    return [served(number, **more) for number in numbers]


def batch(batch_id, experiences, model_type="line"):
    return {
        "batch_id": batch_id,
        "model_type": model_type,
        "experiences": experiences,
        "created_at": "2026-11-26T12:00:00+00:00",
    }


def numbers_in(project, *where):
    """Return the numbers of the experiences in the database, in the order in which they came."""
    with project.database.read() as connection:
        query = table.select().where(*where).order_by(table.c.number)
        return [json.loads(row.body)["metadata"]["number"] for row in connection.execute(query)]


def used_by(project, job_id):
    return numbers_in(project, table.c.used_by == job_id)


def unused(project):
    return numbers_in(project, table.c.used_by.is_(None))


def snapshot_of(project, job_id):
    """Return the numbers of the experiences that the job reads, by number."""
    lines = project.blobs.get(project.trainings.job(job_id).snapshot_id).splitlines()
    return sorted(json.loads(line)["metadata"]["number"] for line in lines)


def died(project):
    """Give up what the kernel takes from a dead process; what it had asked the writer for is gone with it."""
    project.database.writer.drop_connection()
    project.database.doorbell.close()
    project.database.engine.dispose()
