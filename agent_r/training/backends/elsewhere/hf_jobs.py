"""Hugging Face Jobs: the training script on a rented machine; its model is a commit on the Hub.

A job carries the digest of what it depends on as a label, and by that it is found again. The rows
go up with the script, into the bucket of the namespace's jobs, which is private; the model comes
from a repository and goes to one.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AbstractContextManager

from huggingface_hub import HfApi, JobInfo
from huggingface_hub.errors import HfHubHTTPError
from pydantic import SecretStr

from agent_r.config import read_secret
from agent_r.errors import TrainerError
from agent_r.files import scratch_folder
from agent_r.hub.repository import Hub
from agent_r.settings.remote_training import HfJobsConfig
from agent_r.training.backends.elsewhere.hf_models import ModelRepository, asking
from agent_r.training.backends.elsewhere.hf_submission import start_script
from agent_r.training.backends.job_backend import Handle, JobState, JobStatus, LogLines
from agent_r.training.backends.train_job import (
    TrainedModel,
    TrainJob,
    TrainReport,
    job_digest,
    new_model,
    report_in,
)

LABEL = "agent-r-job"  # of a job, with our digest
STAGES = {
    "SCHEDULING": JobState.QUEUED,
    "RUNNING": JobState.RUNNING,
    "COMPLETED": JobState.SUCCEEDED,
    "CANCELED": JobState.CANCELLED,
    "ERROR": JobState.FAILED,
    "DELETED": JobState.FAILED,
}
SECONDS = {"second": 1, "minute": 60, "hour": 3600}
_PUBLISHED = re.compile(r"published: (\S+/\S+)@([0-9a-f]{40})")


class HfJobsBackend:
    """A `JobBackend` on the Hub: its handle is the job's id there."""

    name = "Hugging Face Jobs"
    poll_s = 15.0

    def __init__(self, config: HfJobsConfig | None) -> None:
        assert config is not None  # the settings see to it
        self._config = config
        self._token = SecretStr(read_secret(config.token_env))
        self._namespace = config.namespace
        self._price: float | None = None  # dollars a second

    async def check(self) -> None:
        """Whether the token may write to the repository, and see the namespace's jobs.

        Raises:
            TrainerError: it may not.
        """
        await asyncio.to_thread(self._check)

    def _check(self) -> None:
        owner = self._config.repo.partition("/")[0]
        with self._asking() as api:
            mine = api.whoami()
            names = {mine["name"], *(each["name"] for each in mine.get("orgs", ()))}
            next(iter(api.list_jobs(labels={LABEL: "none"}, namespace=self._who(api))), None)
        if owner not in names:
            raise TrainerError(
                f"the token in ${self._config.token_env} is of {mine['name']}, who may not write "
                f"to {self._config.repo}: set train.hf_jobs.repo to a repository of yours"
            )

    def _asking(self) -> AbstractContextManager[HfApi]:
        if not self._token.get_secret_value():
            raise TrainerError(f"{self.name} wants a token: set ${self._config.token_env}")
        return asking(self._jobs())

    async def submit(self, job: TrainJob) -> Handle:
        return await asyncio.to_thread(self._submit, job)

    def _submit(self, job: TrainJob) -> Handle:
        digest, models = job_digest(job), self._models()
        if known := self._known(digest, models):
            return known
        models.create()
        start = models.starting_point(job)
        with scratch_folder() as folder, self._asking() as api:
            started = start_script(
                api,
                self._config,
                job,
                start,
                folder,
                labels={LABEL: digest},
                namespace=self._who(api),
                token=self._token,
            )
        return str(started.id)

    def _known(self, digest: str, models: ModelRepository) -> Handle | None:
        """A job of ours that is at work, or whose model is there."""
        with self._asking() as api:
            found = list(api.list_jobs(labels={LABEL: digest}, namespace=self._who(api)))
        for job in found:
            state = STAGES.get(job.status.stage, JobState.RUNNING)
            if state is JobState.SUCCEEDED:
                commit = models.tagged(digest) or self._published(job.id)
                if commit and models.holds(commit):
                    return str(job.id)
            elif not state.is_final:
                return str(job.id)
        return None

    async def poll(self, handle: Handle) -> JobStatus:
        return await asyncio.to_thread(self._poll, handle)

    def _poll(self, handle: Handle) -> JobStatus:
        job = self._inspect(handle)
        if job is None:
            return JobStatus(state=JobState.FAILED, message="the Hub no longer knows the job")
        state = STAGES.get(job.status.stage, JobState.RUNNING)
        return JobStatus(state=state, message=self._reason(job, state), money=self._money(job))

    def _reason(self, job: JobInfo, state: JobState) -> str:
        """Why a job waits or has failed, and where to look; a failed script's last words say it."""
        if state in (JobState.RUNNING, JobState.SUCCEEDED):
            return ""
        words = job.status.message or job.status.stage.lower()
        if state is JobState.FAILED:
            words = ": ".join([words, *self._log_lines(job.id)[-1:]])
        return f"{words} ({job.url})"

    def _inspect(self, handle: Handle) -> JobInfo | None:
        with self._asking() as api:
            try:
                return api.inspect_job(job_id=handle, namespace=self._who(api))
            except HfHubHTTPError as error:
                if error.response.status_code == 404:
                    return None
                raise

    async def logs(self, handle: Handle, after: int) -> LogLines:
        lines = await asyncio.to_thread(self._log_lines, handle)
        return LogLines(lines=lines[after:], cursor=max(after, len(lines)))

    def _log_lines(self, handle: Handle) -> list[str]:
        """All that a job has said; none where the Hub has no log of it (yet)."""
        with self._asking() as api:
            try:
                texts = api.fetch_job_logs(job_id=handle, namespace=self._who(api), follow=False)
                return [line for text in texts for line in str(text).splitlines()]
            except HfHubHTTPError as error:
                if error.response.status_code == 404:
                    return []
                raise

    async def cancel(self, handle: Handle) -> None:
        await asyncio.to_thread(self._cancel, handle)

    def _cancel(self, handle: Handle) -> None:
        with self._asking() as api:
            api.cancel_job(job_id=handle, namespace=self._who(api))

    async def result(self, job: TrainJob, handle: Handle) -> TrainReport:
        return await asyncio.to_thread(self._result, job, handle)

    def _result(self, job: TrainJob, handle: Handle) -> TrainReport:
        models, digest = self._models(), job_digest(job)
        commit = models.tagged(digest) or self._published(handle)
        if not commit:
            raise TrainerError(f"the job {handle} has ended, and says of no model in its log")
        models.tag(digest, commit)  # a log is kept for some time only
        folder = new_model(job)
        models.fetch(commit, folder, whole=self._config.download)
        report = report_in(folder)
        if report is None:
            raise TrainerError(f"{models.hub.url} at {commit} has no report of a job")
        model = TrainedModel(
            served=report.model.served,
            repo=f"{self._config.repo}@{commit}",
            base=models.starting_point(job).base if report.model.served == "adapter" else "",
        )
        return report.model_copy(update={"digest": digest, "job": handle, "model": model})

    def _published(self, handle: Handle) -> str:
        """The commit with a job's model, which it names at its end; "" where it has not."""
        for line in reversed(self._log_lines(handle)):
            if (found := _PUBLISHED.search(line)) and found[1] == self._config.repo:
                return found[2]
        return ""

    def _money(self, job: JobInfo) -> float | None:
        seconds = job.durations.running_secs if job.durations else None
        if seconds is None:
            return None
        if self._price is None:
            with self._asking() as api:
                prices = {
                    machine.name: machine.unit_cost_usd / SECONDS[machine.unit_label]
                    for machine in api.list_jobs_hardware()
                    if machine.unit_label in SECONDS
                }
            self._price = prices.get(str(job.flavor), -1.0)
        return self._price * seconds if self._price >= 0 else None

    def _who(self, api: HfApi) -> str:
        """In whose name jobs run; without it the client asks another Hub than this one."""
        self._namespace = self._namespace or str(api.whoami()["name"])
        return self._namespace

    def _jobs(self) -> Hub:
        who = self._namespace or "you"
        config = self._config
        return Hub(
            who,
            endpoint=config.endpoint,
            token=self._token,
            kind="job",
            holder=config.token_env,
        )

    def _models(self) -> ModelRepository:
        return ModelRepository(self._config.repo, self._config.endpoint, self._token)
