"""The scanner: nothing private leaves with a dataset, and nothing of a world is mistaken for it."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import time
import zlib
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agent_r.errors import DatasetError
from agent_r.hub.known_values import Private, encodings
from agent_r.hub.leaks import Leak, refuse
from agent_r.hub.secret_rules import Detector
from agent_r.hub.secret_scan import Allowing, scan, scan_text
from tests.support.made import Made

# The tokens are put together here: no scanner should find this file.
RANDOM = "A1b2C3d4E5f6G7h8J9k0LmNpQrStUvWxYzq7w6x5"
KEY = "p4ss/w0rd+of=mine"
KNOWN = Private(
    secrets=(KEY, "none", "12345"),
    hosts=("build-7.example.com", "localhost"),
    users=("mkowalski", "root", "max"),
    paths=("/build/agent", "/"),
)
KNOWING = Detector(KNOWN)

PLANTED = {
    "hugging-face-token": f"hf_{RANDOM}",
    "anthropic-key": f"sk-ant-api03-{RANDOM}",
    "model-provider-key": f"sk-proj-{RANDOM}",
    "github-token": f"ghp_{RANDOM}",
    "bearer-token": f"authorization: Bearer {RANDOM}",
    "authorization": "Authorization: Basic " + base64.b64encode(b"me:secret").decode(),
    "password-in-a-url": "postgres://reader:hunter2@db.example.com/rows",
    "assigned-secret": f"api_key={RANDOM}",
    "assigned-secret, in JSON": json.dumps({"client_secret": RANDOM}),
    "user-name-in-a-path": "/home/ewa/runs",
    "user-name-in-a-path, of macOS": "at /Users/ewa/runs",
    "user-name-in-a-path, in a URL": "path=%2Fhome%2Fewa",
    "user-name-in-a-path, of Windows": r"C:\Users\ewa\rows",
    "local-path": "/tmp/agent-r-1/rows",
    "local-path, of root": "/root/.cache/x",
    "local-path, as a URL": "file:///data/rows",
    "local-path, of home": "~/agent-r/rows",
    "local-path, of a drive": r"D:\models\mine",
    "local-path, after a line break in JSON": r"{\"text\": \"so:\n/mnt/disk/x\"}",
    "private-host": "http://llm.prod.internal:8000/v1",
    "private-host, of Docker": "host.docker.internal",
    "private-host, of a cluster": "vllm.default.svc.cluster.local",
    "private-host, of an office": "printer.lan",
    "email-address, at a private host": "ewa@build.corp",
    "private-host, of AWS": "ip-10-0-3-7",
    "private-address": "10.1.2.3",
    "private-address, at home": "http://192.168.0.10/v1",
    "private-address, of the link": "169.254.169.254",
    "private-address, of IPv6": "fd12:3456:789a::1",
    "local-address": "http://localhost:8000/v1",
    "local-address, by number": "127.0.0.1:4200",
    "known-host": "on BUILD-7.example.com.",
    "known-host, its first part": "build-7 says",
    "known-user": "made by mkowalski",
    "known-path": "cd /build/agent/datasets_out",
    "known-secret": KEY,
    "known-secret, in a URL": "token=" + quote(KEY, safe=""),
    "known-secret, in JSON": json.dumps({"key": KEY}),
    "known-secret, in base64": base64.b64encode(f"user:{KEY}\n".encode()).decode(),
    "known-secret, in base64 of URLs": base64.urlsafe_b64encode(f"a{KEY}".encode()).decode(),
    "known-secret, in hex": KEY.encode().hex(),
}

WORLDS = """\
You are in the middle of a room. Looking quickly around you, you see a desk 1, a drawer 2.
> go to /desk 1
You arrive at loc 12. On the sidetable 2, you see a cellphone 3, a keychain 2, and a pencil 1.
put keychain 2 in/on safe 1; examine laptop 2 with desklamp 1 (a task-oriented, /usr-friendly lamp)
This room is called the hallway. In it, you see: the agent, a substance called air.
The inventory: an orange, a thermometer reading 10 degrees celsius, hanging roots, /path 3.
focus on animal in red box; use thermometer on unknown substance B; wait1; 4.2.1.7 litres
b0923kzqpl [SEP] Price: $12.99 [SEP] b07dkgjr74 [SEP] women's sk-ii facial-treatment essence 230ml
search[men's home/office shoes size 10/11]; click[size: 5.5 wide]; for kitchen /home/office use
Support: https://shop.example.com/home/decor?id=12
Rating: 4.5/5 (10.2.21), 100% cotton, w/o pockets, and/or 12:30, 24/7, bearer of light-weight bags
Thought: I cannot find it. My secret: look twice. The password: open-sesame. Action: craft 1 anvil
A:\\nYes, root vegetables: local/organic. Q: max of 3? The user is a root admin, and max agrees.
sk-ii-facial-treatment-essence-with-pitera-230ml, task-specific-organizer, disk-drive-enclosure
xoxo-valentine-gift-cards-20; an authorization: token needed; self.local, threading.local()
the temperature is ~10 (~/- 2) degrees; see "data/sft/train-00000-of-00001.parquet"; none; 12345
version 1.10.0.3, v10.0.0.1; a ratio 1:10; key: value; token: 128; max_tokens=48; /var or /tmp
""".splitlines()

SLOW = r"a. a- eyJ- api_key= sk-a- xoxb- bearer://x: %2Fhome ~/ 10.1. fd00: \n /home/ -----BEGIN"


def version_of(folder: Path, text: str, *, id: str = "revision-0330") -> Path:
    """A folder like a dataset version, with one text deep in its second row."""
    rows = [
        {"id": "good-1", "messages": [{"role": "user", "content": "Goal: ash boards"}], "step": 1},
        {"id": id, "messages": [{"role": "user", "content": ""}, {"content": text}], "step": None},
    ]
    (folder / "data" / "sft").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "sft" / "train.parquet")
    return folder


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    packed = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", bytes(13)), *chunks, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(("kind", "planted"), PLANTED.items(), ids=PLANTED)
def test_what_is_planted_in_a_row_is_found_and_masked(
    tmp_path: Path, kind: str, planted: str
) -> None:
    found = list(scan(version_of(tmp_path, f"Thought: take it.\n{planted} and so on"), KNOWING))
    assert kind.split(",")[0] in {finding.rule for finding in found}
    assert {f.where for f in found} == {"sft row 2 (revision-0330) column messages.content"}
    for finding in found:
        assert planted not in str(finding) and RANDOM[:8] not in str(finding)
        assert KEY not in finding.shown and "ewa/" not in finding.shown
        assert finding.shown.endswith(" characters)")


@pytest.mark.parametrize(("kind", "planted"), PLANTED.items(), ids=PLANTED)
def test_rows_and_texts_are_judged_alike(tmp_path: Path, kind: str, planted: str) -> None:
    row = list(scan(version_of(tmp_path, planted), KNOWING))
    text = list(scan_text(planted, KNOWING, where="run.log"))
    assert [(f.name, f.shown) for f in row] == [(f.name, f.shown) for f in text]
    assert {f.where for f in text} == {"run.log line 1"}


@pytest.mark.parametrize("line", WORLDS)
def test_what_a_world_says_is_not_private(tmp_path: Path, line: str) -> None:
    assert list(scan(version_of(tmp_path, line), KNOWING)) == []
    assert list(scan_text(line, KNOWING)) == []


def test_a_real_version_passes(made: Made) -> None:
    assert list(scan(made.version, KNOWING)) == []


def test_every_column_is_looked_at_ids_and_names_included(tmp_path: Path) -> None:
    token = PLANTED["hugging-face-token"]
    [found] = scan(version_of(tmp_path, "fine", id=f"revision-{token}"), KNOWING)
    digest = hashlib.sha256(token.encode()).hexdigest()[:12]
    assert found == Leak(
        "hugging-face-token",
        "sft row 2 (revision-…) column id",
        "hf_A…(43 characters)",
        digest=digest,
    )
    assert found.name == f"hugging-face-token:{digest}"
    table = pa.table({"text": ["fine"], token: [1]}, metadata={"made by": "mkowalski"})
    pq.write_table(table, tmp_path / "data" / "sft" / "train.parquet")
    found = list(scan(tmp_path, KNOWING))
    assert {f.rule for f in found} == {"hugging-face-token", "known-user"}
    assert {f.where for f in found} == {"columns of data/sft/train.parquet"}


def test_the_row_is_named_far_into_a_file(tmp_path: Path) -> None:
    lists = [[{"text": f"Got {n} sand"}] * (n % 3) for n in range(2500)]
    lists[2000] = [{"text": "fine"}, {"text": "at /home/ewa/x"}]
    lists[1999] = []
    table = pa.table({"steps": lists, "id": [f"good-{n}" for n in range(2500)]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=700)
    (found,) = scan(tmp_path, KNOWING)
    assert found.where.endswith("row 2001 (good-2000) column steps.text")


def test_texts_in_every_form_of_a_column_are_looked_at(tmp_path: Path) -> None:
    texts = pa.array(["fine", None, "printer.lan", "printer.lan"])
    columns = {
        "large": texts.cast(pa.large_string()),
        "dictionary": texts.dictionary_encode(),
        "lists": pa.array([None, [["fine"], None], [["printer.lan"]], [["printer.lan"]]]),
    }
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    places = [finding.where.split(" row ")[1] for finding in scan(tmp_path, KNOWING)]
    assert places == [f"{row} column {name}" for name in columns for row in (3, 4)]


def test_a_column_that_cannot_be_looked_into_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [b"bytes"]}), tmp_path / "x.parquet")
    with pytest.raises(DatasetError, match="column x is of type binary"):
        list(scan(tmp_path, KNOWING))


def test_the_card_the_manifest_and_names_of_files_are_looked_at(tmp_path: Path) -> None:
    token = PLANTED["hugging-face-token"]
    (tmp_path / "README.md").write_text("# Card\n\nmade at /home/ewa/x\n")
    (tmp_path / "manifest.json").write_text(json.dumps({"config": {"out": ["a\n/mnt/x/y"]}}))
    (tmp_path / ".hidden.jsonl").write_text(f'{{"a": "b"}}\n{{"text": "\\n{token}"}}\n')
    (tmp_path / f"{token}.txt").write_text("nothing")
    (tmp_path / "again").symlink_to("/usr")
    (tmp_path / "old.tar.gz").write_bytes(b"")
    assert {(f.rule, f.where) for f in scan(tmp_path, KNOWING)} == {
        ("user-name-in-a-path", "README.md line 3"),
        ("local-path", "manifest.json config.out"),
        ("hugging-face-token", ".hidden.jsonl line 2"),
        ("hugging-face-token", "file name ….txt"),
        ("link-to-another-place", "again"),
        ("packed-file", "old.tar.gz"),
    }


def test_a_key_of_json_is_a_text_even_where_it_is_there_twice(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"at": "/home/ewa/x", "at": "fine", "10.0.0.1": 1}')
    (tmp_path / "b.json").write_text('{"at": "/home/ewa/x", ')
    kinds = [(finding.rule, finding.where) for finding in scan(tmp_path, KNOWING)]
    assert kinds == [
        ("user-name-in-a-path", "a.json at"),
        ("private-address", "a.json …"),
        ("user-name-in-a-path", "b.json line 1"),
    ]


def test_the_metadata_of_a_picture_is_looked_at(tmp_path: Path) -> None:
    path = b"/home/ewa/curve.png"
    chunks = {
        "plain": (b"tEXt", b"Source\0" + path),
        "packed": (b"zTXt", b"Source\0\0" + zlib.compress(path)),
        "international": (b"iTXt", b"Source\0\1\0\0\0" + zlib.compress(path)),
    }
    for name, chunk in chunks.items():
        (tmp_path / f"{name}.png").write_bytes(png((b"IDAT", bytes(9000)), chunk))
    (tmp_path / "fine.png").write_bytes(png((b"tEXt", b"Software\0Matplotlib")))
    found = [(finding.rule, finding.where) for finding in scan(tmp_path, KNOWING)]
    assert found == [("user-name-in-a-path", f"{name}.png, metadata") for name in sorted(chunks)]


def test_a_known_value_is_found_in_any_bytes(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(bytes((4 << 20) - 5) + KEY.encode() + bytes(9))
    assert [(f.rule, f.where) for f in scan(tmp_path, KNOWING)] == [("known-secret", "model.bin")]


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(DatasetError, match=r"x\.parquet cannot be read"):
        list(scan(tmp_path, KNOWING))


def test_a_refusal_is_one_line_that_says_what_where_and_what_to_do() -> None:
    refuse([], limit=20)
    text = f"fine\nhttp://llm.prod.internal\n{PLANTED['github-token']}"
    findings = list(scan_text(text, KNOWING, where="README.md"))
    with pytest.raises(DatasetError) as refused:
        refuse(findings[::-1], limit=20)
    digest = hashlib.sha256(PLANTED["github-token"].encode()).hexdigest()[:12]
    assert str(refused.value) == (
        "not published: 2 private things, the first: github-token ghp_…(44 characters) in "
        f"README.md line 3 [github-token:{digest}]; `agent-r scan VERSION` lists all; then "
        "`agent-r scan VERSION --drop`, or `--redact`, or name it in hub.allow"
    )


def test_what_is_allowed_is_left_out_by_its_name_and_remembered() -> None:
    text = f"{PLANTED['github-token']} and printer.lan and host.docker.internal"
    [token, *hosts] = KNOWING.find(text)
    assert [host.rule for host in hosts] == ["private-host"] * 2
    for allow, left in (
        ({f"{token.rule}:{token.digest}"}, hosts),
        ({"private-host:*"}, [token]),
        ({"github-token:*", f"private-host:{token.digest}"}, [token, *hosts]),  # no secret by kind
    ):
        allowing = Allowing(KNOWING, frozenset(allow))
        assert list(allowing.find(text)) == left
        assert len(allowing.used) == 3 - len(left)


def test_the_makers_own_address_may_go_out_and_no_other() -> None:
    text = "ask makers@example.org, not someone.else@example.org"
    both, one = Allowing(Detector()), Allowing(Detector()).reaching("makers@example.org")
    assert [len(list(detector.find(text))) for detector in (both, one)] == [2, 1]
    secret = PLANTED["github-token"]
    assert list(Allowing(Detector()).reaching(f"https://a.example/{secret}").find(secret)) != []


def test_a_value_that_could_be_a_word_or_a_number_is_no_secret() -> None:
    assert [encodings(value) for value in ("", "none", "EMPTY", "secret", "12345678")] == [
        set()
    ] * 5
    assert "tok-1a" in encodings("tok-1a") and "correcthorsebattery" in encodings(
        "correcthorsebattery"
    )


def test_of_a_secret_of_several_lines_each_long_line_is_one() -> None:
    pem = "-----BEGIN OPENSSH-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\nshort\n"
    detector = Detector(Private(secrets=(pem,)))
    (found,) = detector.find("x b3BlbnNzaC1rZXktdjEAAAAABG5vbmU")
    assert found.rule == "known-secret"
    assert detector.find("a short thing") == []


@pytest.mark.parametrize("piece", SLOW.split())
def test_a_long_text_made_to_be_slow_is_not(piece: str) -> None:
    started = time.process_time()
    list(scan_text(piece * 20_000, KNOWING))
    assert time.process_time() - started < 2
