"""The layers of the package: imports point downward, and heavy packages load on first use.

Imports are read from the source. Those inside functions count, because a delayed import is still a
dependency; those for type checkers only (`if TYPE_CHECKING:`) do not run and do not count.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import nndl

ROOT = Path(nndl.__file__).parent

# From the bottom to the top. A folder is one layer: inside it only cycles are forbidden. To add a
# module, insert its name above everything that it imports.
ORDER = """
_typing text bars html files threads parallel rng schedules plots notebook
named activations costs initializers arrays released large blas dataset validation step batches
layers patches pooling blocks conv stack inference network normalization differences
training data storage
ensemble recipes ladder estimator pretrained export book reproduction cli __main__
"""
LAYERS = ORDER.split()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes of a tree except those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from statements(node)


def imported(source: str, modules: set[str]) -> Iterator[str]:
    """Yield the modules of the package that a source imports; `nndl` itself by its own name."""
    for node in statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "nndl")
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not used"
            if (node.module or "").split(".")[0] != "nndl":
                continue
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else str(node.module)


def imports_of(module: str) -> set[str]:
    found = set(imported(MODULES[module].read_text(encoding="utf-8"), set(MODULES)))
    return found - {module}


def layer(module: str) -> str:
    return module.split(".")[1]


def upward(module: str, targets: set[str], layers: list[str]) -> list[str]:
    """Return the imports of a module that lead to a higher layer."""
    here = layers.index(layer(module))
    return [t for t in sorted(targets) if t != "nndl" and layers.index(layer(t)) > here]


INNER = sorted(set(MODULES) - {"nndl"})


def test_every_module_belongs_to_a_layer() -> None:
    missing = {layer(module) for module in INNER} - set(LAYERS)
    assert not missing, f"insert {sorted(missing)} into LAYERS, above everything that they import"


@pytest.mark.parametrize("module", INNER)
def test_imports_point_downward(module: str) -> None:
    assert upward(module, imports_of(module), LAYERS) == []


def test_there_is_no_import_cycle() -> None:
    graph = {module: imports_of(module) - {"nndl"} for module in INNER}
    for module, targets in graph.items():  # importing nndl.a.b imports nndl.a first
        packages = {t.rpartition(".")[0] for t in targets} & set(graph)
        targets |= {p for p in packages if not module.startswith(f"{p}.")} - {module}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError for a cycle
    assert set(order) == set(INNER)


def test_the_package_itself_imports_nothing_until_a_name_is_used() -> None:
    assert imports_of("nndl") == set()  # so every module may import its version


def test_an_upward_import_is_found() -> None:
    source = "def f():\n    from nndl.network import Network\n    import nndl.rng\n"
    targets = set(imported(source, {"nndl.network", "nndl.rng"}))
    assert targets == {"nndl.network", "nndl.rng"}
    assert upward("nndl.costs", targets, LAYERS) == ["nndl.network"]


def test_an_import_for_type_checkers_only_does_not_count() -> None:
    source = "if TYPE_CHECKING:\n    from nndl.network import Network\nimport nndl.rng\n"
    assert set(imported(source, {"nndl.network", "nndl.rng"})) == {"nndl.rng"}


@pytest.mark.parametrize(
    "statement", ["import nndl", "from nndl import *", "from nndl import Network, load_mnist"]
)
def test_importing_the_package_does_not_import_heavy_packages(statement: str) -> None:
    heavy = {"pooch", "requests", "PIL", "scipy.ndimage", "matplotlib"}
    program = f"{statement}\nimport sys\nprint(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stderr, done.stdout) == ("", "\n")
