"""House rules that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

TOOLS = Path(sys.executable).parent


def tool(repository: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(TOOLS / command[0]), *command[1:]], cwd=repository, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("snakefmt", "--check", "workflow"),
        ("snakemake", "--lint"),
        ("lint-imports",),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_clean(repository: Path, command: tuple[str, ...]) -> None:
    done = tool(repository, *command)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


def sources(repository: Path) -> list[Path]:
    return [
        path for folder in ("src", "tests", "workflow", "benchmarks") for path in (repository / folder).rglob("*.py")
    ]


def test_small_rooms(repository: Path) -> None:
    long = {str(p): n for p in sources(repository) if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}


def forbidden(tree: ast.AST) -> list[int]:
    """Lines that import an unpickler, evaluate text, or ask a loader to unpickle."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            bad = any(name.split(".")[0] in ("pickle", "dill", "joblib", "cloudpickle") for name in names)
        elif isinstance(node, ast.Call):
            asked = {(word.arg, getattr(word.value, "value", None)) for word in node.keywords}
            unsafe = {("allow_pickle", True), ("weights_only", False), ("shell", True)}
            bad = bool(asked & unsafe) or getattr(node.func, "id", None) in ("eval", "exec")
        else:
            continue
        if bad:
            lines.append(node.lineno)
    return lines


def test_nothing_unpickles_or_evaluates(repository: Path) -> None:
    for text in ("import pickle", "from dill import load", "np.load(p, allow_pickle=True)", "exec(t)"):
        assert forbidden(ast.parse(text)) == [1]
    assert forbidden(ast.parse("network.eval()")) == []
    found = {str(path): lines for path in sources(repository) if (lines := forbidden(ast.parse(path.read_text())))}
    assert found == {}


def test_one_lock_for_conda_and_pip(repository: Path) -> None:
    lines = [line for line in (repository / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[^ ]+", line) for line in lines)
    environment = yaml.safe_load((repository / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert "-r requirements.lock" in pip
    locked = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines}
    project = (repository / "pyproject.toml").read_text()
    block = project[project.index("dependencies = [") : project.index("[project.scripts]")]
    named = {
        re.sub(r"[-_.]+", "-", name).lower()
        for name in re.findall(r'"([A-Za-z0-9._-]+)(?:\[\w+\])?[><=]*[^"]*"', block)
    }
    assert named - locked == set()


def test_the_readme_test_command_is_what_ci_runs(repository: Path) -> None:
    readme, ci = (repository / "README.md").read_text(), (repository / ".ci" / "run").read_text()
    command = ci.strip().splitlines()[-1]
    assert "&& pytest" in command and command in readme
