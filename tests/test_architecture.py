"""Imports run one way: core ← services, env_adapters ← tasks ← flows."""

from __future__ import annotations

import ast
import subprocess
import sys
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


def forbidden(module: str) -> tuple[str, ...]:
    """Packages that a module may not know."""
    above = ("flows", "tasks", "env_adapters", "prefect")
    if module.startswith("agent_r.services"):
        return above
    if module.startswith("agent_r"):
        return (*above, "agent_r.services", "openai", "torch", "datasets", "pyarrow")
    if module.startswith("env_adapters"):
        return ("flows", "tasks", "prefect", "agent_r.services")
    return ("flows", "tasks") if module.startswith("tasks") else ()


@pytest.mark.parametrize(("path", "module"), FILES.items(), ids=FILES.values())
def test_a_module_imports_only_what_lies_below_it(path: Path, module: str) -> None:
    for name in imports(path):
        above = [p for p in forbidden(module) if name == p or name.startswith(f"{p}.")]
        assert not above, f"{module} imports {name}"


@pytest.mark.parametrize(("path", "module"), FILES.items(), ids=FILES.values())
def test_only_the_config_reads_the_environment(path: Path, module: str) -> None:
    text = path.read_text(encoding="utf-8")
    reads = "os.environ" in text or "os.getenv" in text or "import environ" in text
    assert reads == (module == "agent_r.config")


@pytest.mark.parametrize(
    ("path", "module"), [(p, m) for p, m in FILES.items() if m.startswith("env_adapters.")]
)
def test_a_world_imports_no_other_world(path: Path, module: str) -> None:
    world = module.split(".")[1].split("_")[0]
    others = [n for n in imports(path) if n.startswith("env_adapters.")]
    assert all(name.split(".")[1].split("_")[0] == world for name in others), others


def test_config_and_errors_lie_beneath_all() -> None:
    below = {
        "agent_r.errors": set(),
        "agent_r.reading.grammar": set(),
        "agent_r.loopback": set(),
        "agent_r.settings": {"agent_r.errors", "agent_r.reading.grammar", "agent_r.settings"},
        "agent_r.config": {"agent_r.errors", "agent_r.loopback", "agent_r.settings"},
    }
    for path, module in FILES.items():
        for lowest, allowed in below.items():
            if module == lowest or module.startswith(f"{lowest}."):
                ours = [name for name in imports(path) if name.startswith("agent_r")]
                assert {".".join(name.split(".")[:2]) for name in ours} <= allowed


@pytest.mark.parametrize("module", ["agent_r.algorithm.search", "agent_r.algorithm.rows", "flows.cli.main"])
def test_importing_is_cheap(module: str) -> None:
    """What a notebook or `agent-r --help` needs starts without Prefect, torch or the network."""
    heavy = "{'prefect', 'torch', 'datasets', 'pyarrow', 'openai', 'transformers'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"
