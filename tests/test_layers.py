"""Imports run one way, and `import allowance` is light: read from the source, and from a fresh process."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from allowance.calls import lifeline

SRC = Path(__file__).parents[1] / "src" / "allowance"

LAYERS = (
    {"cli"},
    {"server"},
    {"manager"},
    {"config"},
    {"sdks"},
    {"calls"},
    {"requests", "quotes", "replies", "prices", "stores"},
    {"wire"},
    {"ledger"},
    {"money", "errors"},
)
"""From the top down: each may import what stands below it."""

RECORDS = {
    "allowance.requests.request",
    "allowance.replies.usage",
    "allowance.quotes.quote",
    "allowance.prices.price",
    "allowance.stores.base",
    "allowance.errors",
}
"""The plain records that neighbours pass on; and money's errors."""

SDKS = {
    "openai",
    "anthropic",
    "google",
    "litellm",
    "tenacity",
    "httpx",
    "requests",
    "aiohttp",
    "boto3",
    "anyio",
}
ALLOWED = {"wrapt", "tiktoken", "pydantic"}
EXTRAS = {
    ("server",): {"fastapi", "httpx", "jinja2", "prometheus_client", "sqlalchemy", "starlette", "uvicorn"},
    ("stores", "postgres"): {"psycopg"},
}
"""What the rooms of an extra may import besides; nothing imports those rooms but when they are named."""
HEAVY = {"tiktoken", "sqlite3", "ssl", "http", "asyncio"}

FILES = sorted(SRC.rglob("*.py"))


def _rank(part: str) -> int:
    return next((rank for rank, layer in enumerate(LAYERS) if part in layer), -1)


def _part(path: Path) -> str:
    first = path.relative_to(SRC).parts[0]
    return first.removesuffix(".py")


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules that a file imports, and whether it does when it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ".".join(("allowance", *path.relative_to(SRC).parent.parts))
    yield from _within(tree, package, at_import=True)


def _within(node: ast.AST, package: str, *, at_import: bool) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, at_import) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = package.rsplit(".", child.level - 1)[0] if child.level > 1 else package
            module = f"{base}.{child.module}" if child.level and child.module else child.module or base
            names = [f"{module}.{alias.name}" for alias in child.names]
            known = [name for name in names if _is_module(name)]
            yield from ((name, at_import) for name in known or [module])
        else:
            inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) or _is_for_types(child)
            yield from _within(child, package, at_import=at_import and not inside)


def _is_module(name: str) -> bool:
    path = SRC.joinpath(*name.split(".")[1:])
    return name.startswith("allowance.") and (path.is_dir() or path.with_suffix(".py").exists())


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_imports_run_one_way(path: Path) -> None:
    part = _part(path)
    if part in ("__init__", "__main__"):
        return
    for module, _ in _imports(path):
        if not module.startswith("allowance."):
            continue
        other = module.split(".")[1]
        if other == part:
            continue
        assert _rank(other) >= 0, f"{path} imports {module}, which no layer has"
        if _rank(other) == _rank(part):
            assert module in RECORDS or _only_records(path, module), f"{path} imports its neighbour {module}"
        else:
            assert _rank(other) > _rank(part), f"{path} imports {module}, which stands above it"


def _only_records(path: Path, module: str) -> bool:
    """Packages hand their record on under their own name too: ``from allowance.requests import Request``."""
    records = {"Request", "Api", "Image", "Attachment", "Usage", "Quote", "Price", "Store"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        taken = isinstance(node, ast.ImportFrom) and node.module == module
        if taken and not {alias.name for alias in node.names} <= records:
            return False
    return module.count(".") == 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_nothing_is_imported_but_the_three_and_the_standard_library(path: Path) -> None:
    parts = path.relative_to(SRC).parts
    extra = next((names for room, names in EXTRAS.items() if parts[: len(room)] == room), set())
    for module, _ in _imports(path):
        top = module.partition(".")[0]
        if top in extra:
            continue
        assert top not in SDKS, f"{path} imports {module}"
        assert top in ALLOWED or top == "allowance" or top in sys.stdlib_module_names, f"{path}: {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_what_is_heavy_is_imported_where_it_is_needed(path: Path) -> None:
    if "sqlite" in path.parts or _part(path) in ("cli", "server"):
        return  # nothing imports these but when they are named
    for module, at_import in _imports(path):
        assert not (at_import and module.partition(".")[0] in HEAVY), f"{path} imports {module} at once"


def test_import_allowance_is_light() -> None:
    code = """
import sys
import wrapt, pydantic
before = set(sys.modules)
import allowance
from allowance import budget, budgeted, configure, BudgetExceededError
loaded = set(sys.modules) - before
heavy = {"tiktoken", "sqlite3", "ssl", "http", "asyncio", "openai", "anthropic", "litellm", "google"}
print(sorted(heavy & {name.partition(".")[0] for name in loaded}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stdout


def test_the_rooms_where_a_finalizer_may_go_on_exist() -> None:
    for room in lifeline._OPEN_ROOMS:
        assert _is_module(room.removesuffix(".")), room
