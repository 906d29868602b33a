"""Start the training script as a job of the Hub: its words, its machine, its one secret."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import HfApi, JobInfo
from pydantic import SecretStr

from agent_r.errors import TrainerError
from agent_r.settings.remote_training import HfJobsConfig
from agent_r.training.backends.elsewhere.hf_models import StartingPoint
from agent_r.training.backends.elsewhere.outgoing import outgoing
from agent_r.training.backends.train_job import TrainJob
from agent_r.training.backends.trl_backend import script_values
from agent_r.training.train_script import train_script

BUCKET = "jobs-artifacts"  # into which the client puts the files of a namespace's jobs


def start_script(
    api: HfApi,
    config: HfJobsConfig,
    job: TrainJob,
    start: StartingPoint,
    folder: Path,
    *,
    labels: Mapping[str, str],
    namespace: str,
    token: SecretStr,
) -> JobInfo:
    """Upload script and rows, and begin the job; `folder` is a scratch folder."""
    script, rows = folder / "train.py", folder / "rows.jsonl"
    values = script_values(job.config) | {"push": config.repo, "seed": job.seed}
    script.write_text(train_script(values), encoding="utf-8")
    rows.write_text("".join(outgoing(job)), encoding="utf-8")
    template = ["--chat-template", own] if (own := str(values["chat_template"])) else []
    _require_private_bucket(api, f"{namespace}/{BUCKET}")
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is called experimental
        begun: JobInfo = api.run_uv_job(
            str(script),
            # The client puts files of ours where the job runs, and their new names here.
            script_args=["--model", start.name, "--dataset", str(rows), *template],
            image=config.image or None,
            env={"HF_ENDPOINT": config.endpoint} if config.endpoint else None,
            secrets={"HF_TOKEN": token.get_secret_value()},
            flavor=config.flavor,
            timeout=config.timeout,
            attempts=config.attempts if config.attempts > 1 else None,
            labels={**labels, "name": f"agent-r-{job.out.name}"[:100]},
            volumes=list(start.volumes) or None,
            namespace=namespace,
        )
    return begun


def _require_private_bucket(api: HfApi, bucket: str) -> None:
    api.create_bucket(bucket, private=True, exist_ok=True)
    if not api.bucket_info(bucket).private:
        raise TrainerError(
            f"the bucket {bucket} is public, and the rows would be: make it private on the Hub"
        )
