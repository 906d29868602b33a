"""Store trees and their revisions as files in a local folder or an object store's bucket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fsspec.asyn import get_loop
from fsspec.implementations.memory import MemoryFileSystem

from agent_r import files
from agent_r.errors import ConfigError, ExtraMissing, StoreError
from agent_r.printable import public_line

PROBE = ".writable"
PROBE_S = 30.0  # a dead server is said by then
PATIENCE_S = (
    90.0  # for a write, and its bytes at the slowest: the client itself would wait for ever
)
SLOWEST = 20_000  # bytes/s
MAX_SAID_CHARS = 200  # of a server's own words
CLIENT = {
    "connect_timeout": 5,
    "read_timeout": 20,  # for the answer to an upload: most of its bytes may still be on their way
    "retries": {"mode": "standard"},  # three tries, or $AWS_MAX_ATTEMPTS
    "max_pool_connections": 64,
}

_PROTOCOLS = ("file", "memory", "s3")  # those of which a write is there whole or not at all
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}")
_NEEDS = {
    "read": "s3:GetObject and s3:ListBucket",
    "write": "s3:PutObject",
    "list": "s3:ListBucket",
}
_REFUSED = {
    *("ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId"),
    *("InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired"),
}
_DENIED = {"403", "AccessDenied", "AllAccessDisabled", "Forbidden", "UnauthorizedAccess"}
_CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """Named files in one place, a folder or a bucket; each is there whole or not at all.

    A name is one part of a path, as `files.slug` makes them: a ValueError where it is not.
    """

    path: str
    remote: _Remote | None = None  # None: this machine's own disk

    @classmethod
    def at(cls, where: str | Path) -> ObjectStore:
        """The object store in a folder, or at `file:///…`, `memory://…` or `s3://bucket/prefix`.

        Raises:
            ConfigError: a malformed URL, or a protocol that we do not know.
            ExtraMissing: `s3://` without the `s3` extra.
        """
        protocol, path = _parsed(str(where))
        if protocol == "memory":
            return cls(path, _Remote("memory://", MemoryFileSystem(), (OSError,)))
        return cls(path, _s3() if protocol == "s3" else None)

    def below(self, name: str) -> ObjectStore:
        """A folder in it."""
        return ObjectStore(self._of(name), self.remote)

    async def read(self, name: str) -> bytes | None:
        """All of a file; None where there is none of that name.

        Raises:
            StoreError: it is there, or may be, and cannot be read.
        """
        path = self._of(name)
        return _read(Path(path)) if self.remote is None else await self.remote.read(path)

    async def write(self, name: str, content: bytes) -> None:
        """Make a file, or put another in its place.

        Raises:
            StoreError: it cannot be written; the one before it is still there.
        """
        path = self._of(name)
        if self.remote is None:  # done at once: a hop to a thread costs more than the write
            files.write_bytes(Path(path), content)
        else:
            await self.remote.write(path, content, within_s=PATIENCE_S + len(content) / SLOWEST)

    async def names(self) -> list[str]:
        """Files directly in it, in order; none where the folder does not exist yet.

        Raises:
            StoreError: it cannot be listed.
        """
        found = _names(self.path) if self.remote is None else await self.remote.names(self.path)
        return sorted(name for name in found if not name.startswith("."))

    async def require_writable(self) -> None:
        """Find out before hours of work, not after.

        Raises:
            StoreError: nothing can be written there.
        """
        if self.remote is None:
            return files.require_writable(Path(self.path))
        probe = _joined(self.path, PROBE)
        await self.remote.write(probe, b"", within_s=PROBE_S)
        with contextlib.suppress(StoreError):  # the work itself needs no right to delete
            await self.remote.remove(probe)

    def __str__(self) -> str:
        return self.path if self.remote is None else f"{self.remote.scheme}{self.path}"

    def _of(self, name: str) -> str:
        if not name.isprintable() or re.search(r"^$|^\.|[/\\?]", name):  # `?` asks S3 for a version
            raise ValueError(f"no name for a file: {name!r}")
        return _joined(self.path, name) if self.remote else str(Path(self.path, name))


class _Remote:
    """An fsspec file system, its failures as ours.

    S3's work is done on fsspec's own event loop and awaited from ours. 200 writes of 60 KB, 32 at
    once, take 0.5 s so to a server 50 ms away, and 1.9 s through asyncio.to_thread, which has but
    six threads on two cores (1.0 and 1.1 s to moto, which is the limit there). A client on our own
    loop is as fast, but holds that loop for 20 to 50 ms at a time and does not outlive it.
    """

    def __init__(self, scheme: str, files: Any, failures: tuple[type[Exception], ...]) -> None:
        self.scheme = scheme
        self._files = files
        self._failures = failures
        self._loop = get_loop() if files.async_impl else None
        if self._loop:
            weakref.finalize(self, _hang_up, files, self._loop)

    async def read(self, path: str) -> bytes | None:
        try:
            # One GET: it is of one version, and tells a missing file from a missing bucket.
            return bytes(await self._do("cat_file", path, max_concurrency=1))
        except self._failures as error:
            if _is_missing(error):
                return None
            raise self._failure("read", path, error) from None

    async def write(self, path: str, content: bytes, *, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self._do("pipe_file", path, content)
        except self._failures as error:
            raise self._failure("write", path, error) from None

    async def remove(self, path: str) -> None:
        try:
            await self._do("rm_file", path)
        except self._failures as error:
            raise self._failure("delete", path, error) from None

    async def names(self, path: str) -> list[str]:
        try:
            found = await self._do("ls", path, detail=True, refresh=True)
        except self._failures as error:
            if _is_missing(error):
                return []
            raise self._failure("list", path, error) from None
        files = (entry["name"].lstrip("/") for entry in found if entry["type"] == "file")
        below = f"{path}/" if path else ""
        return [name.removeprefix(below) for name in files if name.startswith(below)]

    async def _do(self, verb: str, *args: Any, **options: Any) -> Any:
        if self._loop is None:
            return getattr(self._files, verb)(*args, **options)
        work = getattr(self._files, f"_{verb}")(*args, **options)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def _failure(self, verb: str, path: str, error: Exception) -> StoreError:
        return StoreError(f"cannot {verb} {self.scheme}{path}: {_reason(verb, error)}")


def _joined(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _parsed(text: str) -> tuple[str, str]:
    """Protocol and path of a place; what may hold a secret is never repeated in an error."""
    protocol, found, rest = text.partition("://")
    protocol = protocol.lower()
    if not found:
        if not text.strip() or "\0" in text or re.match(rf"({'|'.join(_PROTOCOLS)}):", text):
            raise ConfigError(f"no folder and no URL: {text!r} (a URL has ://, as s3://bucket/x)")
        return "", str(Path(text))
    if protocol not in _PROTOCOLS:
        known = ", ".join(f"{name}://" for name in _PROTOCOLS)
        raise ConfigError(f"unknown protocol {protocol[:20]!r}: one of {known}, or a folder's path")
    host, _, path = rest.partition("/")
    if "@" in host:
        raise ConfigError(f"{protocol}:// takes no credentials: set {_CREDENTIALS}")
    if re.search(r"[?#]|(^|/)\.\.?(/|$)", rest) or not rest.isprintable():
        raise ConfigError(f"a {protocol}:// URL of a folder holds no ?, # or ..")
    if protocol == "file":
        if host not in ("", "localhost") or not path:
            raise ConfigError(f"file:// needs a whole path, as file:///{rest.strip('/')}")
        return "", str(Path("/", unquote(path)))
    if protocol == "s3" and not _BUCKET.fullmatch(host):
        raise ConfigError(f"no bucket's name: {host!r} (write s3://bucket/prefix)")
    return protocol, _joined(*rest.split("/"))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def _names(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_file()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot list {folder}: {error.strerror or error}") from error


def _s3() -> _Remote:
    """A new client for each store: it reads today's credentials, and caches nothing."""
    try:
        import aiohttp
        from aiobotocore.session import AioSession
        from botocore.exceptions import BotoCoreError
        from botocore.handlers import add_expect_header
        from botocore.parsers import ResponseParserError
        from s3fs import S3FileSystem
    except ImportError:
        raise ExtraMissing("s3:// stores", "s3") from None
    session = AioSession()
    # `Expect: 100-continue` costs each write a round trip, and aiohttp awaits the answer for ever.
    session.unregister("before-call.s3", add_expect_header)
    files = S3FileSystem(
        session=session,
        asynchronous=True,  # else it would close itself on whatever loop is running by then
        config_kwargs=CLIENT,
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    files.retries = 1  # botocore's own are enough; s3fs would go through all of them five times
    failures = (OSError, ValueError, BotoCoreError, ResponseParserError, aiohttp.ClientError)
    return _Remote("s3://", files, failures)


def _hang_up(files: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Close a client's connections where they were opened."""
    if files._s3 is None:
        return
    closing = asyncio.run_coroutine_threadsafe(files._s3.close(), loop)
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # the process may be at its end, and that loop with it
        with contextlib.suppress(TimeoutError):
            closing.result(timeout=1.0)


def _reason(verb: str, error: Exception) -> str:
    """What was wrong and what to do, without a key or a signed URL."""
    answer = getattr(error.__cause__, "response", None)
    if answer is not None:
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        message = public_line(answer["Error"].get("Message") or "")[:MAX_SAID_CHARS]
        return _answer(verb, _code(error), status, message)
    known = [kind.__name__ for kind in type(error).__mro__]
    what = known[0]
    if re.search(r"Credential|Token|SSO|Login|Profile", what):
        return f"no usable AWS credentials ({what}): set {_CREDENTIALS}"
    asked = urlsplit(str(getattr(error, "kwargs", {}).get("endpoint_url", "")))
    if asked.netloc:
        server = f"{asked.scheme}://{asked.netloc.rpartition('@')[2]}"
        return f"no answer from {server} ({what}): check AWS_ENDPOINT_URL and the network"
    if isinstance(error, TimeoutError):
        return "no answer in time: check AWS_ENDPOINT_URL and the network"
    if "BotoCoreError" in known or isinstance(error, ValueError):
        reason = f"{public_line(str(error))[:MAX_SAID_CHARS]} ({what})"
        return f"{reason}: check AWS_ENDPOINT_URL, AWS_CA_BUNDLE and ~/.aws/config"
    return public_line(getattr(error, "strerror", None) or str(error))[:MAX_SAID_CHARS] or what


def _answer(verb: str, code: str, status: int, message: str) -> str:
    if code == "NoSuchBucket":
        return "there is no such bucket: make it, or correct the URL"
    if code in _REFUSED:
        return f"the credentials are refused ({code}): check {_CREDENTIALS}"
    if code in _DENIED:
        return f"access is denied ({code}): the credentials need {_NEEDS.get(verb, 'more rights')}"
    reason = f"the store answers {code or status}{f' ({message})' if message else ''}"
    return (
        f"{reason}: {'try again later' if status >= 500 else 'check the URL and AWS_ENDPOINT_URL'}"
    )


def _is_missing(error: Exception) -> bool:
    """No such file there; one that is missing here (of certificates) has an errno."""
    missing = isinstance(error, FileNotFoundError) and error.errno is None
    return missing and _code(error) in ("", "NoSuchKey")


def _code(error: Exception) -> str:
    """S3's word for a failure; "" where it was not S3 that said it."""
    answer = getattr(error.__cause__, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))
