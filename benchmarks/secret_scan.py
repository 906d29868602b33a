"""The scan before publishing: how much it finds, how much it refuses, its time and its memory.

The texts and secrets are those of the tests (tests/support/secret_corpus.py): the rules were made
with them at hand, so the rates say that nothing was lost since, and no more. `--texts` takes
folders of others, such as Debian's games (`apt-get download nethack-common`, `dpkg -x`). The rows
are those of benchmarks/hub.py; each size is scanned in a process of its own. Time is CPU time,
since a busy machine changes it little; memory is VmHWM (Linux only).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from agent_r.hub.known_values import Private  # noqa: E402
from agent_r.hub.secret_rules import Detector, rules  # noqa: E402
from agent_r.hub.secret_scan import scan  # noqa: E402
from tests.support.secret_corpus import HARMLESS, PERSONAL, secrets  # noqa: E402

PACKED = (".gz", ".png", ".wav", ".pdf")
HERE = Private(("a-key-of-this-run-0001",), ("build-7.example.com",), ("mkowalski",), ("/build",))


def rates() -> None:
    detector = Detector()

    def level(text: str) -> str:
        levels = {match.level for match in detector.find(text)}
        return "secret" if "secret" in levels else "personal" if levels else "none"

    corpora = {
        "what games say": HARMLESS,
        "secrets": [text for text, _ in secrets().values()],
        "personal data": [text.replace("{}", value) for text, value in PERSONAL.values()],
    }
    print(
        f"{len(rules())} rules\n\n| texts | number | secret | personal | none |\n|--|--|--|--|--|"
    )
    for name, texts in corpora.items():
        found = [level(text) for text in texts]
        counts = " | ".join(str(found.count(one)) for one in ("secret", "personal", "none"))
        print(f"| {name} | {len(texts)} | {counts} |")


def strange(folders: list[Path]) -> None:
    """Findings in the lines of all files of some folders, of binary ones in their strings."""
    detector = Detector()
    found: Counter[tuple[str, str]] = Counter()
    lines = size = 0
    for path in (file for folder in folders for file in sorted(folder.rglob("*"))):
        if path.is_symlink() or not path.is_file() or path.suffix in PACKED:
            continue
        content = path.read_bytes()
        if b"\0" in content[:8192]:
            content = b"\n".join(re.findall(rb"[\t -~]{12,}", content))
        for line in content.decode("utf-8", "replace").splitlines():
            lines, size = lines + 1, size + len(line)
            found.update({(match.level, match.rule) for match in detector.find(line)})
    print(f"\n{lines:,} lines, {size / 1e6:.1f} MB\n\n| level | rule | lines |\n|--|--|--|")
    print(*(f"| {level} | {rule} | {n} |" for (level, rule), n in found.most_common()), sep="\n")


def scan_one(version: Path) -> None:
    detector = Detector(HERE)
    start = time.process_time()
    found = sum(1 for _ in scan(version, detector))
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"cpu": time.process_time() - start, "peak": peak, "found": found}))


def speed(sizes: list[int]) -> None:
    from hub_jobs import build, trees

    print("\n| rows | CPU s | rows/s | peak, MB | findings |\n|--|--|--|--|--|")
    with tempfile.TemporaryDirectory() as folder:
        small = trees(f"{folder}/trees")["path"]
        for size in sizes:
            version = build(small, f"{folder}/{size}/data", size, 0, None)["path"]
            command = [sys.executable, __file__, "--version", version]
            one = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            rate = f"{size / one['cpu']:,.0f}"
            print(f"| {size:,} | {one['cpu']:.2f} | {rate} | {one['peak']:.0f} | {one['found']} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 300_000])
    parser.add_argument("--version", type=Path, help="scan this one alone")
    parser.add_argument("--texts", type=Path, nargs="+", default=[], help="folders of other texts")
    options = parser.parse_args()
    if options.version:
        scan_one(options.version)
        return
    print("$", " ".join(["python", *sys.argv]), end="\n\n")
    rates()
    speed(options.rows)
    if options.texts:
        strange(options.texts)


if __name__ == "__main__":
    main()
