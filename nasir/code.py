"""The code that a result can depend on, as one digest.

From a step's module, and from the space, strategy, data set or baseline that were chosen by name, every module of this
project is followed that is imported, inside functions too. The digest is that of their syntax trees, without docstrings and
positions: a comment, a docstring or another layout leaves it as it is, other code does not; and a module that nothing
reaches is no part of it. A module that is named by text alone (`nasir.spaces.contract.find`) is not seen, so its name is
given beside the step's. A file of a module's name beside it with one of the endings in `DATA` (a data set's list, a page's
template) is part of the module.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = ("nasir", "stages")
DATA = (".csv", ".html", ".css", ".js")
"""Endings of the files that belong to a module of their name."""

SKIPPED = ("kind", "type_comment", "type_ignores")  # fields of a syntax tree that say nothing of what is computed


class Code:
    """The modules of a checkout, each read once.

    Args:
        root: the folder of the packages.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self._found: dict[str, Path | None] = {}
        self._read: dict[Path, _Parsed] = {}
        self._imported: dict[Path, list[str]] = {}
        self._digests: dict[Path, str] = {}

    def digest(self, modules: Iterable[str]) -> str:
        """SHA-256, in hexadecimal, of all code that these modules reach.

        Args:
            modules: dotted names such as `stages.search`.

        Raises:
            ValueError: for a module that is no file of this project.
        """
        total = hashlib.sha256()
        for name, path in sorted(self.reached(modules).items()):
            total.update(f"{name} {self._of_file(path)}\n".encode())
        return total.hexdigest()

    def reached(self, modules: Iterable[str]) -> dict[str, Path]:
        """Every module that these import, directly or not, themselves included, with its file."""
        found: dict[str, Path] = {}
        waiting = [part for module in modules for part in _with_packages(module)]
        while waiting:
            name = waiting.pop()
            if name not in found:
                path = self._find(name)
                if path is None:
                    raise ValueError(f"a module must be one of this project ({', '.join(PACKAGES)}), got {name!r}.")
                found[name] = path
                waiting += [part for imported in self._imports(path) for part in _with_packages(imported)]
        return found

    def _find(self, module: str) -> Path | None:
        if module not in self._found:
            path = self.root.joinpath(*module.split("."))
            files = (path.with_suffix(".py"), path / "__init__.py")
            self._found[module] = next((file for file in files if file.is_file()), None)
        return self._found[module]

    def _parse(self, path: Path) -> "_Parsed":
        if path not in self._read:
            self._read[path] = _parsed(path.read_text())
        return self._read[path]

    def _imports(self, path: Path) -> list[str]:
        """The project's modules that a file imports, but for those that only a type checker reads."""
        if path not in self._imported:
            parsed = self._parse(path)
            if parsed.relative:
                raise ValueError(
                    f"{path} must name what it imports in full, got a relative import in line {parsed.relative}."
                )
            self._imported[path] = [name for name in parsed.imported if self._find(name)]
        return self._imported[path]

    def _of_file(self, path: Path) -> str:
        if path not in self._digests:
            total = self._parse(path).syntax.copy()
            for data in map(path.with_suffix, DATA):
                if data.is_file():
                    total.update(data.read_bytes())
            self._digests[path] = total.hexdigest()
        return self._digests[path]


def _with_packages(module: str) -> list[str]:
    """A module and the packages that it lies in, whose own code runs before it."""
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


class _Parsed(NamedTuple):
    """What is in a file: names that may be modules of the project, its first relative import's line (0: none), its syntax."""

    imported: tuple[str, ...]
    relative: int
    syntax: "hashlib._Hash"


@cache
def _parsed(text: str) -> _Parsed:
    tree = ast.parse(text)
    names: list[str] = []
    relative = 0
    for node in _run(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.level or not node.module):
            relative = relative or node.lineno
        elif isinstance(node, ast.ImportFrom):
            names += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    own = tuple(name for name in names if name.split(".")[0] in PACKAGES)
    return _Parsed(own, relative, hashlib.sha256(repr(_plain(tree)).encode()))


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below, without the bodies of `if TYPE_CHECKING:`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for other in child.orelse:
                yield from _run(other)
        else:
            yield from _run(child)


def _plain(value: object) -> object:
    """A syntax tree as nested tuples: the same on every version of Python that parses the same."""
    if isinstance(value, list):
        return tuple(_plain(item) for item in value if not _is_text(item))
    if isinstance(value, ast.AST):
        fields = ((name, _plain(part)) for name, part in ast.iter_fields(value) if name not in SKIPPED)
        return (type(value).__name__, *((name, part) for name, part in fields if part not in (None, ())))
    return repr(value) if isinstance(value, (str, bytes, int, float, complex, bool, type(Ellipsis))) else value


def _is_text(node: object) -> bool:
    """Whether a statement is a string alone: a docstring, of whatever it stands behind."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
