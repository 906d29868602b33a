"""Models on the Hub: where a job starts from, and the one that it has made."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, Volume, snapshot_download
from pydantic import SecretStr

from agent_r.config import digest
from agent_r.errors import HubError, HubUnavailable, StoreError, TrainerError, TrainerUnavailable
from agent_r.files import sha256
from agent_r.hub.repository import Hub, spoken
from agent_r.training.backends.train_job import (
    LOSSES,
    REPORT,
    TrainedModel,
    TrainJob,
    trained_model,
)

MODEL, BASE = "/model", "/base"  # where they lie on a job's machine


@contextmanager
def asking(hub: Hub) -> Iterator[HfApi]:
    """The Hub's client.

    Raises:
        TrainerUnavailable: another try may help.
        TrainerError: none will.
    """
    try:
        with spoken(hub):
            yield hub.api
    except HubUnavailable as error:
        raise TrainerUnavailable(str(error)) from None
    except HubError as error:
        raise TrainerError(str(error)) from None


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """The model that a job starts from: how the script is told, and what is mounted for it."""

    name: str
    volumes: tuple[Volume, ...] = ()
    base: str = ""  # `owner/name@commit`, or a name on the Hub


@dataclass(frozen=True, slots=True)
class ModelRepository:
    """The repository that jobs put their models in; bases that are not on the Hub go beside it."""

    repo: str
    endpoint: str
    token: SecretStr

    @property
    def hub(self) -> Hub:
        return Hub(self.repo, endpoint=self.endpoint, token=self.token, kind="model")

    @property
    def bases(self) -> ModelRepository:
        return ModelRepository(f"{self.repo}-base", self.endpoint, self.token)

    def create(self) -> None:
        """Make it, a private one; one that is there stays as it is."""
        with asking(self.hub) as api:
            api.create_repo(self.repo, repo_type="model", private=True, exist_ok=True)

    def starting_point(self, job: TrainJob) -> StartingPoint:
        """A name on the Hub as it is; a model that a job has made by its commit; a folder goes up.

        An adapter says where its base lies, which is therefore there as well.

        Raises:
            TrainerError: its weights are nowhere, or the Hub does not take them.
        """
        model = trained_model(job.model)
        if model.served == "name":
            raise TrainerError(f"the weights of {model.name} are nowhere to be trained on")
        if not model.repo and not job.model.is_dir():
            return StartingPoint(str(job.model), base=str(job.model))
        if not model.repo:
            model = TrainedModel(repo=f"{self.bases.repo}@{self.bases.put(job.model)}")
            return StartingPoint(BASE, (_mounted(model.repo, BASE),), base=model.repo)
        mounted = [_mounted(model.repo, MODEL)]
        if model.served == "adapter" and "@" in model.base:
            mounted.append(_mounted(model.base, BASE))
        return StartingPoint(MODEL, tuple(mounted), base=model.base or model.repo)

    def put(self, folder: Path) -> str:
        """A folder's commit, made if it is not there yet: the tag is the digest of its files."""
        ours = {REPORT, LOSSES}
        files = sorted(p for p in folder.iterdir() if p.is_file() and p.name not in ours)
        name = digest(*(f"{path.name}:{sha256(path)}" for path in files))
        self.create()
        if commit := self.tagged(name):
            return commit
        with asking(self.hub) as api:
            done = api.upload_folder(
                repo_id=self.repo,
                folder_path=folder,
                allow_patterns=[path.name for path in files],
                delete_patterns="*",
                commit_message=f"The model {name}",
            )
        self.tag(name, str(done.oid))
        return str(done.oid)

    def holds(self, commit: str) -> bool:
        """Whether a commit is there: somebody may have deleted the repository since."""
        try:
            with asking(self.hub):
                return bool(self.hub.files(commit))
        except TrainerUnavailable:
            raise
        except TrainerError:
            return False

    def tagged(self, name: str) -> str:
        """The commit of a tag, "" where there is none."""
        with asking(self.hub):
            refs = self.hub.refs()
        return refs.tags.get(name, "") if refs else ""

    def tag(self, name: str, commit: str) -> None:
        if self.tagged(name) != commit:
            with asking(self.hub) as api:
                api.create_tag(self.repo, tag=name, revision=commit, exist_ok=True)

    def fetch(self, commit: str, folder: Path, *, whole: bool) -> None:
        """A commit's files in a folder; not `whole`: its reports alone."""
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with asking(self.hub):
                snapshot_download(
                    self.repo,
                    revision=commit,
                    local_dir=folder,
                    endpoint=self.endpoint or None,
                    token=self.token.get_secret_value(),
                    allow_patterns=None if whole else [REPORT, LOSSES],
                    ignore_patterns=[".gitattributes"],
                )
            shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's own notes
        except OSError as error:
            raise StoreError(f"cannot write {folder}: {error.strerror or error}") from error


def _mounted(address: str, where: str) -> Volume:
    repo, _, commit = address.rpartition("@")
    return Volume(type="model", source=repo, mount_path=where, revision=commit, read_only=True)
