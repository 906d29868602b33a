"""Imports run one way, from the ground up; no folder is crowded, and a name is one module's."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = {
    path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("agent_r", "env_adapters", "tasks", "flows")
    for path in sorted((ROOT / package).rglob("*.py"))
}


def imports(path: Path) -> Iterator[str]:
    """Everything imported anywhere in a file: `from a import b` counts as `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)


# From the ground up: a module imports from its own folder and from the floors below it.
FLOORS = (
    "agent_r.errors agent_r.loopback agent_r.licences agent_r.concurrency agent_r.grammar "
    "agent_r.printable agent_r.digests",
    "agent_r.settings",
    "agent_r.config",
    "agent_r.files agent_r.actor agent_r.loading",
    "agent_r.reading",
    "agent_r.environment",
    "agent_r.closing",
    "agent_r.algorithm",
    "agent_r.testing agent_r.run_worlds agent_r.local_model",
    "agent_r.endpoint",
    "agent_r.collection",
    "agent_r.diagnostics",
    "agent_r.dataset",
    "agent_r.hub",
    "agent_r.training",
    "agent_r.evaluation",
    "agent_r.env_check",
    "env_adapters",
    "tasks",
    "flows",
    "flows.cli",
)
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor.split()}
# What env_adapters knows of the core: a world is translated, whoever explores it.
WORLDS_KNOW = "actor algorithm environment errors grammar loading loopback reading settings".split()
WORLDS_KNOW += ["digests", "printable"]
LIBRARIES = ("openai", "torch", "datasets", "pyarrow", "huggingface_hub", "aiohttp")
DOORS = ("agent_r.local_model", "agent_r.endpoint", "agent_r.collection", "agent_r.dataset",
         "agent_r.hub", "agent_r.training", "agent_r.env_check")  # fmt: skip
MOST_MODULES = 15  # of a folder, its __init__ apart
# Names of several modules: a world's parts, settings and tasks of what they set and wrap.
SHARED = {"__init__", "environment", "expert", "texts", "wire", "search", "page"}
SHARED |= {"build", "demonstrations", "fine_tune", "grow", "publish"}


def room(name: str) -> str:
    """The folder, or the module of the core's own, that a dotted name lies in."""
    parts = name.split(".")
    depth = 2 if parts[0] == "agent_r" or parts[:2] == ["flows", "cli"] else 1
    return ".".join(parts[:depth])


def ours(path: Path) -> set[str]:
    known = ("agent_r.", "env_adapters", "tasks.", "flows.")
    return {n for n in imports(path) if n.startswith(known) and n != "agent_r.__version__"}


@pytest.mark.parametrize(("path", "module"), FILES.items(), ids=FILES.values())
def test_a_module_imports_only_what_lies_below_it(path: Path, module: str) -> None:
    if module == "agent_r":
        return  # the front door shows what is inside
    for name in ours(path):
        same = room(name) == room(module)
        assert same or FLOOR[room(name)] < FLOOR[room(module)], f"{module} imports {name}"
        if module.startswith("env_adapters") and name.startswith("agent_r."):
            assert name.split(".")[1] in WORLDS_KNOW, f"{module} imports {name}"


@pytest.mark.parametrize(("path", "module"), FILES.items(), ids=FILES.values())
def test_the_core_knows_no_prefect_and_its_algorithm_no_library(path: Path, module: str) -> None:
    heads = {name.split(".")[0] for name in imports(path)}
    if module.startswith(("agent_r", "env_adapters")):
        assert "prefect" not in heads
    if module.startswith("agent_r") and not module.startswith(DOORS):
        assert not heads & set(LIBRARIES), module


def test_no_folder_is_crowded() -> None:
    folders = Counter(path.parent for path in FILES if path.name != "__init__.py")
    crowded = {str(f.relative_to(ROOT)): n for f, n in folders.items() if n > MOST_MODULES}
    assert not crowded


def test_a_name_is_one_modules() -> None:
    names = Counter(path.stem for path in FILES)
    assert {name for name, n in names.items() if n > 1} <= SHARED


@pytest.mark.parametrize(("path", "module"), FILES.items(), ids=FILES.values())
def test_only_the_config_reads_the_environment(path: Path, module: str) -> None:
    text = path.read_text(encoding="utf-8")
    reads = "os.environ" in text or "os.getenv" in text or "import environ" in text
    assert reads == (module == "agent_r.config")


@pytest.mark.parametrize(
    ("path", "module"), [(p, m) for p, m in FILES.items() if m.startswith("env_adapters.")]
)
def test_a_world_imports_no_other_world(path: Path, module: str) -> None:
    shared = {"demonstration_row", "jvm", "pool", "splits", "scripted_actor", "written"}
    others = {n.split(".")[1] for n in imports(path) if n.startswith("env_adapters.")}
    assert others <= {module.split(".")[1], *shared}


def test_config_and_errors_lie_beneath_all() -> None:
    below = {
        "agent_r.digests": set(),
        "agent_r.errors": set(),
        "agent_r.grammar": set(),
        "agent_r.loopback": set(),
        "agent_r.settings": {"agent_r.errors", "agent_r.grammar", "agent_r.settings"},
        "agent_r.config": {f"agent_r.{n}" for n in ("digests", "errors", "loopback", "settings")},
    }
    for path, module in FILES.items():
        for lowest, allowed in below.items():
            if module == lowest or module.startswith(f"{lowest}."):
                ours = [name for name in imports(path) if name.startswith("agent_r")]
                assert {".".join(name.split(".")[:2]) for name in ours} <= allowed


@pytest.mark.parametrize("module", ["agent_r", "agent_r.algorithm.rows", "flows.cli.main"])
def test_importing_is_cheap(module: str) -> None:
    """What a notebook or `agent-r --help` needs starts without Prefect, torch or the network."""
    heavy = "{'prefect', 'torch', 'datasets', 'pyarrow', 'openai', 'transformers'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_class_s_name_means_one_thing() -> None:
    classes = Counter(
        node.name
        for path in FILES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert not {name for name, n in classes.items() if n > 1}


BARE = {"told", "said", "made", "given"}  # how a value came to be, and not what it is


def names(tree: ast.AST) -> Iterator[str]:
    """All that a file gives a name: values, arguments, attributes, functions, imports."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.alias(name=name, asname=other):
                yield other or name


@pytest.mark.parametrize("path", FILES, ids=FILES.values())
def test_a_name_says_what_a_value_is(path: Path) -> None:
    found = {name.lstrip("_") for name in names(ast.parse(path.read_text(encoding="utf-8")))}
    assert not found & BARE
