"""One repository on the Hub: what it holds, and its failures in one line each."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi, RepoFile
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils._http import parse_ratelimit_headers
from huggingface_hub.utils.tqdm import disable_progress_bars
from pydantic import SecretStr

from agent_r.dataset.manifest import Manifest, as_manifest
from agent_r.endpoint.responses import deepest_cause, retry_after
from agent_r.errors import DatasetError, HubRejected, HubUnavailable, NotOnHub
from agent_r.files import scratch_folder
from agent_r.hub.web_page import WebPage, session
from agent_r.printable import printable_line

KIND = "dataset"
PLACES = {"dataset": "datasets/", "model": "", "job": "jobs/"}  # in an address
MAX_SAID_CHARS = 300  # of a server's own words
PASSING = (408, 409, 412, 429)  # as any 5xx: to be asked again, from the beginning


@dataclass(frozen=True, slots=True)
class Hub:
    """A repository, and with which right.

    Args:
        repo: `owner/name`.
        endpoint: URL of the Hub; empty for the client's own ($HF_ENDPOINT, or huggingface.co).
        token: empty asks as nobody: enough to read what is public.
        timeout_s: silence, in seconds, after which a request counts as lost.
        kind: of repository; `job`: the jobs of a namespace, whose name `repo` is.
        holder: environment variable that the token is from.
    """

    repo: str
    endpoint: str = ""
    token: SecretStr = field(default_factory=lambda: SecretStr(""))
    timeout_s: float = 120.0
    kind: str = KIND
    holder: str = "HF_TOKEN"

    @property
    def api(self) -> HfApi:
        session().timeout = self.timeout_s  # the client itself would wait for ever
        if not sys.stderr.isatty():
            disable_progress_bars()  # a log file has no use for them
        token = self.token.get_secret_value()
        return HfApi(endpoint=self.endpoint or None, token=token or False, library_name="agent-r")

    @property
    def url(self) -> str:
        return f"{self.api.endpoint}/{PLACES[self.kind]}{self.repo}"

    def create(self, *, private: bool) -> None:
        """Make the repository; one that is there stays as it is."""
        with spoken(self):
            self.api.create_repo(self.repo, repo_type=self.kind, private=private, exist_ok=True)

    def require_private(self) -> None:
        """Refuse a public repository: what is published there cannot be taken back.

        Raises:
            HubRejected: all the world can read the repository.
        """
        with spoken(self):
            info = self.api.repo_info(self.repo, repo_type=self.kind)
        if not info.private:
            raise HubRejected(
                f"{self.url} is public: pass --public, or set hub.private = false, if it should be"
            )

    def commits(self) -> list[tuple[str, str]]:
        """Commits of `main`, the newest first: id and title."""
        with spoken(self):
            found = self.api.list_repo_commits(self.repo, repo_type=self.kind)
        return [(commit.commit_id, commit.title) for commit in found]

    def refs(self) -> Refs | None:
        """Head and tags; None where there is no such repository (or none that we may see)."""
        with spoken(self):
            try:
                found = self.api.list_repo_refs(self.repo, repo_type=self.kind)
            except RepositoryNotFoundError as error:
                if error.response.status_code == 401 and self.token.get_secret_value():
                    raise
                return None
        heads = {branch.name: branch.target_commit for branch in found.branches}
        return Refs(heads.get("main", ""), {tag.name: tag.target_commit for tag in found.tags})

    def files(self, commit: str) -> dict[str, RepoFile]:
        """All files of a commit by path, with their sizes and digests."""
        with spoken(self):
            tree = self.api.list_repo_tree(
                self.repo, repo_type=self.kind, revision=commit, recursive=True
            )
            return {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}

    def manifest(self, commit: str) -> Manifest | None:
        """The manifest in a commit; None where it has none.

        Raises:
            DatasetError: the repository's manifest is none of ours.
        """
        content = self.content(commit, "manifest.json")
        if content is None:
            return None
        try:
            return as_manifest(json.loads(content), f"manifest.json of {self.repo}")
        except ValueError as error:
            raise DatasetError(f"manifest.json of {self.repo} cannot be read") from error

    def content(self, commit: str, path: str) -> bytes | None:
        """A small file's bytes; None where the commit has no such file."""
        with scratch_folder() as folder, spoken(self):
            try:
                got = self.api.hf_hub_download(
                    self.repo, path, repo_type=self.kind, revision=commit, local_dir=folder
                )
            except RemoteEntryNotFoundError:
                return None
            return Path(got).read_bytes()


@dataclass(frozen=True, slots=True)
class Refs:
    """Where a repository's names point: commits by branch `main` and by tag."""

    head: str
    tags: dict[str, str]


@contextmanager
def spoken(hub: Hub) -> Iterator[None]:
    """The client's failures as ours: each one line, without the token.

    Raises:
        HubUnavailable: another try may help.
        HubRejected: none will.
    """
    try:
        yield
    except HfHubHTTPError as error:
        raise translated(hub, error) from None
    except OfflineModeIsEnabled:
        raise HubRejected("the Hub is switched off here: unset HF_HUB_OFFLINE") from None
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL, httpx2.LocalProtocolError) as error:
        raise HubRejected(clean(hub, f"no URL of a Hub: {hub.api.endpoint} ({error})")) from None
    except (httpx2.TransportError, TimeoutError, ConnectionError) as error:
        line = f"{hub.api.endpoint}: {type(error).__name__} {error}".strip()
        raise HubUnavailable(clean(hub, line)) from None
    except HFValidationError as error:
        raise HubRejected(clean(hub, str(error))) from None
    except WebPage as page:
        raise HubRejected(clean(hub, str(page))) from None
    except ValueError as error:  # no JSON
        line = f"{hub.api.endpoint} does not answer like a Hub: {error}"
        raise HubRejected(clean(hub, line)[:MAX_SAID_CHARS]) from None
    except (RuntimeError, LocalEntryNotFoundError) as error:
        # The client's for an upload or a download that failed, and all that Xet's ever raises.
        if isinstance(error.__cause__, HfHubHTTPError):
            raise translated(hub, error.__cause__) from None
        if isinstance(error.__cause__, WebPage):
            raise HubRejected(clean(hub, str(error.__cause__))) from None
        line = f"{hub.api.endpoint}: {deepest_cause(error)}"
        raise HubUnavailable(clean(hub, line)) from None
    except OSError as error:
        if "Consistency check failed" not in str(error):
            raise
        # The client's own word for a download that has another size than was announced.
        line = f"{hub.api.endpoint}: {str(error).splitlines()[0]}"
        raise HubUnavailable(clean(hub, line)) from None


def translated(hub: Hub, error: HfHubHTTPError) -> Exception:
    """A status as what it means for us."""
    response = error.response
    status = response.status_code
    reason = clean(hub, error.server_message or response.reason_phrase)[:MAX_SAID_CHARS]
    if status in PASSING or status >= 500:
        line = f"{hub.api.endpoint} answers {status} ({reason})"
        return HubUnavailable(line, after_s=come_back(response.headers))
    if status == 401:
        held = "the token is refused" if hub.token.get_secret_value() else "no token was given"
        return HubRejected(f"{hub.api.endpoint}: {held} (401, {reason}): set ${hub.holder}")
    if status == 403:
        what = "start jobs for" if hub.kind == "job" else "write to"
        return HubRejected(f"the token may not {what} {hub.repo} (403, {reason})")
    if status == 404:
        return NotOnHub(f"{hub.url} is not there, or not to be seen with this token (404)")
    return HubRejected(
        f"{hub.api.endpoint} refuses the request for {hub.repo} ({status}, {reason})"
    )


def come_back(headers: Any) -> float:
    """Seconds that the Hub asks us to wait; 0 where it does not say."""
    asked = retry_after(headers, now=time.time())
    limit = parse_ratelimit_headers(headers)
    left = float(limit.reset_in_seconds) if limit and limit.remaining == 0 else 0.0
    return max(asked, left)


def clean(hub: Hub, text: str) -> str:
    """One printable line, the token blotted out."""
    token = hub.token.get_secret_value()
    text = text.replace(token, "***") if token else text
    return printable_line(text)
