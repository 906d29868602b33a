"""Drives one training job, in a process that can be killed: `python one_job.py JOB.json`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from agent_r.training.backends.choice import make_backend
from agent_r.training.backends.run_to_end import run_to_end
from agent_r.training.backends.train_job import TrainJob

if __name__ == "__main__":
    job = TrainJob.model_validate_json(Path(sys.argv[1]).read_bytes())
    backend = make_backend(job.config)
    backend.poll_s = 0.05
    asyncio.run(run_to_end(backend, job))
