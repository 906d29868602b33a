"""A job's rows as they leave this machine: none of our own secrets is in them."""

from __future__ import annotations

from agent_r.config import secrets
from agent_r.errors import TrainerError
from agent_r.hub.known_values import Private, known_rules
from agent_r.training.backends.train_job import TrainJob, draw

SHORTEST = 8  # characters; a shorter value is a word of any text


def outgoing(job: TrainJob) -> list[str]:
    """The drawn rows, JSON lines in order of training.

    Raises:
        TrainerError: one holds a secret of this machine, in any usual encoding.
    """
    rows, held = draw(job), tuple(value for value in secrets() if len(value) >= SHORTEST)
    for rule in known_rules(Private(secrets=held)):
        for number, row in enumerate(rows, 1):
            if rule.find.search(row):
                raise TrainerError(
                    "a row to train on holds the value of a variable that is called like a secret, "
                    f"and would leave this machine: nothing was sent. It is row {number} of those "
                    f"drawn from {', '.join(str(source.path) for source in job.sources)}"
                )
    return rows
