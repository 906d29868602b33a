"""The Xet half of the loopback Hub: chunks that it has already are not uploaded again.

The formats are those of huggingface.co/docs/xet. Files are put together when their shard arrives,
which proves their sha256 and lets clients without Xet download them as LFS objects.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.hub_files import asked_range, send_file
from tests.support.hub_lfs import receive, settle
from tests.support.hub_store import HubStore, RefusalError
from tests.support.hub_web import KINDS, Site, commit_of, param, repo_of, site_of

RECORD = 48  # every header and entry of a shard has this length
BOOKEND = b"\xff" * 32 + bytes(16)
WEEK = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Term:
    """A run of chunks of one xorb; a file is a list of them."""

    xorb: str
    length: int  # in the file
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What a shard says of one file."""

    xet_hash: str
    sha256: str
    terms: tuple[Term, ...]


@dataclass(slots=True)
class Xorbs:
    """Where the chunks are: in which file, and at which byte of which xorb."""

    folder: Path
    files: dict[str, FileInfo] = field(default_factory=dict)
    offsets: dict[str, list[int]] = field(default_factory=dict)  # of the chunks, and the end
    shards: dict[str, bytes] = field(default_factory=dict)  # by chunk: the xorbs sent beside it

    @classmethod
    def beside(cls, store: HubStore) -> Xorbs:
        (store.folder / "xorbs").mkdir(exist_ok=True)
        return cls(store.folder / "xorbs")


def text(digest: bytes) -> str:
    """A hash as Xet writes it: four little-endian numbers.

    >>> text(bytes(range(32)))[:16]
    '0706050403020100'
    """
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", digest))


def chunk_offsets(path: Path) -> list[int]:
    """Where the chunks of a xorb begin, and where the last one ends: a footer may follow."""
    offsets, size = [0], path.stat().st_size
    with path.open("rb") as file:
        while offsets[-1] < size and (header := file.read(8))[0] == 0:
            offsets.append(offsets[-1] + 8 + int.from_bytes(header[1:4], "little"))
            file.seek(offsets[-1])
    return offsets


def unpack(chunk: bytes) -> bytes:
    """The data of one chunk, from its header and its compressed bytes."""
    scheme, length, body = chunk[4], int.from_bytes(chunk[5:8], "little"), chunk[8:]
    if scheme == 0:
        return body
    plain = bytes(pyarrow.Codec("lz4").decompress(body, length, asbytes=True))
    if scheme == 1:
        return plain
    # Scheme 2 groups every fourth byte before compressing; the first groups take the rest.
    whole, sizes = bytearray(length), [(length - n + 3) // 4 for n in range(4)]
    for n, end in enumerate(itertools.accumulate(sizes)):
        whole[n::4] = plain[end - sizes[n] : end]
    return bytes(whole)


def read_shard(shard: bytes) -> tuple[list[FileInfo], bytes, list[str]]:
    """The files of a shard, its section on xorbs as it is, and the chunks named there."""
    records = iter([shard[n : n + RECORD] for n in range(RECORD, len(shard), RECORD)])
    files = []
    for record in itertools.takewhile(BOOKEND.__ne__, records):
        flags, count = struct.unpack_from("<2I", record, 32)
        entries = itertools.islice(records, count)
        terms = [Term(text(e[:32]), *struct.unpack_from("<3I", e, 36)) for e in entries]
        proofs, known = count if flags >> 31 else 0, flags >> 30 & 1  # a bucket's file has none
        more = list(itertools.islice(records, proofs + known))
        sha256 = text(more[-1][:32]) if known else ""
        files.append(FileInfo(text(record[:32]), sha256, tuple(terms)))
    section: list[bytes] = []
    chunks = []
    for record in itertools.takewhile(BOOKEND.__ne__, records):
        named = list(itertools.islice(records, struct.unpack_from("<I", record, 36)[0]))
        section += [record, *named]
        chunks += [text(entry[:32]) for entry in named]
    return files, b"".join(section), chunks


def write_shard(tag: bytes, section: bytes) -> bytes:
    """A shard that names xorbs but no files: the answer to who asks for a chunk."""
    now, end = int(time.time()), RECORD * 3 + len(section)
    no_tables = (end, 0) * 3  # the three look-up tables would begin after the xorbs
    no_key = bytes(32)  # the hashes are in clear
    footer = struct.pack("<9Q", 1, RECORD, 2 * RECORD, *no_tables) + no_key
    footer += struct.pack("<2Q", now, now + WEEK) + bytes(72) + struct.pack("<Q", end)
    return tag + struct.pack("<2Q", 2, len(footer)) + BOOKEND + section + BOOKEND + footer


def xorbs_of(request: Request) -> Xorbs:
    xorbs: Xorbs = request.app.state.xorbs
    return xorbs


def require(request: Request, *tokens: str) -> None:
    if request.headers.get("authorization", "").removeprefix("Bearer ") not in tokens:
        raise RefusalError(401, "Wrong Xet token")


async def token(request: Request) -> Response:
    kind = param(request, "kind")
    commit_of(request, repo_of(request, write=kind == "write"))
    name, until, url = f"xet_{kind}", int(time.time()) + 3600, site_of(request).url
    headers = {
        "X-Xet-Cas-Url": url,
        "X-Xet-Access-Token": name,
        "X-Xet-Token-Expiration": str(until),
    }
    return JSONResponse({"accessToken": name, "exp": until, "casUrl": url}, headers=headers)


async def put_xorb(request: Request) -> Response:
    require(request, "xet_write")
    xorbs, name = xorbs_of(request), param(request, "hash")
    new = name not in xorbs.offsets
    scratch = site_of(request).store.scratch()
    await receive(request, scratch)
    offsets = chunk_offsets(scratch)
    scratch.replace(xorbs.folder / name)
    xorbs.offsets[name] = offsets
    return JSONResponse({"was_inserted": new})


async def put_shard(request: Request) -> Response:
    require(request, "xet_write")
    site, xorbs, shard = site_of(request), xorbs_of(request), await request.body()
    site.bytes_in += len(shard)
    files, section, chunks = read_shard(shard)
    for file in files:
        xorbs.files[file.xet_hash] = file
        if file.sha256:
            await asyncio.to_thread(assemble, site, xorbs, file)
            site.xet_hashes[file.sha256] = file.xet_hash
    answer = write_shard(shard[:32], section)
    xorbs.shards.update(dict.fromkeys(chunks, answer))
    return JSONResponse({"result": 1})


def assemble(site: Site, xorbs: Xorbs, file: FileInfo) -> None:
    """Make an LFS object of a file's chunks; refused if they are not what they are said to be."""
    scratch, digest = site.store.scratch(), hashlib.sha256()
    with scratch.open("wb") as whole:
        for data in _data(xorbs, file.terms):
            digest.update(data)
            whole.write(data)
    settle(site, scratch, file.sha256, digest.hexdigest())


def content(xorbs: Xorbs, xet_hash: str) -> bytes:
    """The bytes of a file that was uploaded by Xet alone."""
    return b"".join(_data(xorbs, xorbs.files[xet_hash].terms))


def _data(xorbs: Xorbs, terms: tuple[Term, ...]) -> Iterator[bytes]:
    for term in terms:
        offsets = xorbs.offsets.get(term.xorb)
        if offsets is None or term.end >= len(offsets):
            raise RefusalError(400, f"Chunks {term.start} to {term.end} of {term.xorb} are missing")
        with (xorbs.folder / term.xorb).open("rb") as xorb:
            xorb.seek(offsets[term.start])
            for begin, end in itertools.pairwise(offsets[term.start : term.end + 1]):
                yield unpack(xorb.read(end - begin))


async def known_chunk(request: Request) -> Response:
    require(request, "xet_read", "xet_write")
    shard = xorbs_of(request).shards.get(param(request, "hash"))
    if shard is None:
        raise RefusalError(404, "No such chunk")
    return Response(shard, media_type="application/octet-stream")


async def reconstruction(request: Request) -> Response:
    """The chunks of a file, or of the part asked for; in whole terms, for the client to cut."""
    require(request, "xet_read", "xet_write")
    xorbs = xorbs_of(request)
    file = xorbs.files.get(param(request, "hash"))
    if file is None:
        raise RefusalError(404, "No such file")
    size = sum(term.length for term in file.terms)
    first, end = asked_range(request.headers.get("range"), size) or (0, size)
    begin, skip = 0, 0
    chosen: list[Term] = []
    for term in file.terms:
        if begin < end and begin + term.length > first:
            skip = skip if chosen else first - begin
            chosen.append(term)
        begin += term.length
    terms = [
        {"hash": t.xorb, "unpacked_length": t.length, "range": {"start": t.start, "end": t.end}}
        for t in chosen
    ]
    fetch = _fetch_info(site_of(request), xorbs, chosen)
    return JSONResponse({"offset_into_first_range": skip, "terms": terms, "fetch_info": fetch})


def _fetch_info(site: Site, xorbs: Xorbs, terms: list[Term]) -> dict[str, list[dict[str, Any]]]:
    """Where to get the chunks of the terms, each chunk once: overlapping ranges break clients."""
    spans: dict[str, list[list[int]]] = {}
    for term in sorted(terms, key=lambda t: (t.xorb, t.start)):
        known = spans.setdefault(term.xorb, [])
        if known and term.start <= known[-1][1]:
            known[-1][1] = max(known[-1][1], term.end)
        else:
            known.append([term.start, term.end])
    return {
        xorb: [
            {
                "range": {"start": start, "end": end},
                "url": f"{site.bytes_url}/_xorbs/{xorb}",
                "url_range": {
                    "start": xorbs.offsets[xorb][start],
                    "end": xorbs.offsets[xorb][end] - 1,
                },
            }
            for start, end in known
        ]
        for xorb, known in spans.items()
    }


async def fetch_xorb(request: Request) -> Response:
    return send_file(request, xorbs_of(request).folder / param(request, "hash"), {})


# What is not here (upload grants, /v2) answers 404, and clients then do without.
ROUTES = [
    *(Route(f"/api/{kind}/{{ns}}/{{name}}/xet-{{kind}}-token/{{rev}}", token) for kind in KINDS),
    Route("/v1/xorbs/default/{hash}", put_xorb, methods=["POST"]),
    Route("/v1/shards", put_shard, methods=["POST"]),
    Route("/v1/chunks/{prefix}/{hash}", known_chunk),
    Route("/v1/reconstructions/{hash}", reconstruction),
    Route("/_xorbs/{hash}", fetch_xorb),
]
