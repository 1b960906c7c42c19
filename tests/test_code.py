"""What makes a stage run again: other code that its result can depend on, and nothing else.

Three sentences are shown of every step, each on a copy of this project's code:

    a comment, a docstring or another layout changes no digest
    code that a step can depend on changes its digest, wherever it stands; all other code leaves it
    a new baseline, data set, space or strategy leaves the digests of what there is
"""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nasir.code import DATA, Code
from nasir.config import reading
from nasir.settings import Settings, resolve
from stages.around import entries
from stages.around.entries import CHECKED, STEPS

ROOT = Path(__file__).parents[1]
PARAMS = reading.read(ROOT / "params.yaml")
OF_SPACE = {"search", "derive", "retrain", "evaluate", "report"}
CELL = {"method": "irnas", "is_baseline": False, "networks": ["dncnn"], "has_memory": True}
"""Of the tables: what their cells' entries are read from."""


def settings(strategy: str = "darts", modify: str = "none", cell: dict[str, Any] = CELL, **params: Any) -> Settings:
    values = resolve(PARAMS | params, ROOT / "profiles", strategy)
    values["derive"]["modify"] = modify
    return Settings(values | {"cell": cell}, "settings.yaml")


RUN = settings()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Path, bytes]]:
    """A copy of this project's code, and what stands in its files."""
    root = tmp_path_factory.mktemp("checkout")
    for package in ("nasir", "stages"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root, contents(root)


@pytest.fixture
def root(checkout: tuple[Path, dict[Path, bytes]]) -> Iterator[Path]:
    """The folder of that copy, which is afterwards as it was."""
    folder, as_it_was = checkout
    yield folder
    for path, text in contents(folder).items():
        if path not in as_it_was:
            path.unlink()
        elif text != as_it_was[path]:
            path.write_bytes(as_it_was[path])


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def digests(root: Path, chosen: Settings = RUN, steps: Iterable[str] = STEPS) -> dict[str, str]:
    code = Code(root)
    return {step: entries.digest(step, chosen, code=code) for step in steps}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {step for step in before if before[step] != after[step]}


def files(root: Path) -> list[Path]:
    return [path for package in ("nasir", "stages") for path in sorted((root / package).rglob("*.py"))]


def name_of(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a string alone, as docstrings are."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def reworded(text: str) -> str:
    """The same code with other docstrings, one more where there was none, and everything laid out anew between comments."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for statement in getattr(node, "body", []) if isinstance(getattr(node, "body", None), list) else []:
            if is_text(statement):
                statement.value.value = "Other words.\n\n    And more of them: 1, 2, 3.\n"
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and not is_text(
            (node.body or [ast.Pass()])[0]
        ):
            node.body.insert(0, ast.Expr(ast.Constant("Words where there were none.")))
    parts = [ast.unparse(ast.fix_missing_locations(statement)) for statement in tree.body]
    return "# before\n\n\n" + "  # behind\n\n\n# between\n".join(parts) + "\n# at the end"


def other_code(path: Path) -> None:
    """Change what a file computes: its first whole number by one, or a statement more where it has none."""
    lines = path.read_bytes().splitlines(keepends=True)
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Constant) and type(node.value) is int:
            line, start, end = lines[node.lineno - 1], node.col_offset, node.end_col_offset
            if line[start:end] == str(node.value).encode():  # of a number within an f-string the place is not kept
                lines[node.lineno - 1] = line[:start] + str(node.value + 1).encode() + line[end:]
                path.write_bytes(b"".join(lines))
                return
    path.write_bytes(b"".join(lines) + b"\nONE_MORE = None\n")


def test_comments_docstrings_and_layout_change_no_digest(root):
    before = digests(root)
    tables = digests(root, steps=entries.TABLES)
    for path in files(root):
        text = path.read_text()
        path.write_text(reworded(text))
        assert path.read_text() != text

    assert changed(before, digests(root)) == set()
    assert changed(tables, digests(root, steps=entries.TABLES)) == set()


def test_a_comment_and_blank_lines_in_every_file_as_it_is_change_no_digest(root):
    before = digests(root)
    for path in files(root):
        path.write_text("# reasons\n\n\n" + path.read_text().replace("\n", "  # why\n", 1) + "\n\n# sources\n")

    # a first line within a docstring has got more words, any other a comment
    assert changed(before, digests(root)) == set()


def test_code_changes_the_digest_of_every_step_that_reaches_it_and_of_no_other(root):
    before = digests(root)
    reached = {step: set(Code(root).reached(entries.entries(step, RUN))) for step in STEPS}

    for path in files(root):
        text = path.read_bytes()
        other_code(path)

        found = changed(before, digests(root))

        name = name_of(path, root)
        assert found == {step for step in STEPS if name in reached[step]}, name
        path.write_bytes(text)


def test_a_step_reaches_its_own_module_and_what_it_imports_from_anywhere(root):
    code = Code(root)
    for step in STEPS:
        reached = code.reached(entries.entries(step, RUN))
        assert f"stages.{step}" in reached and "nasir.files" in reached
        assert ("stages.around.checks" in reached) == (step in CHECKED)
        assert ("nasir.spaces.irnas" in reached) == (step in OF_SPACE)
        others = {f"stages.{other}" for other in STEPS if other != step}
        assert not others & set(reached)


@pytest.mark.parametrize(
    ("file", "steps"),
    [
        ("nasir/files.py", set(STEPS)),
        ("stages/around/checks.py", set(CHECKED)),
        ("nasir/data/fetch/transfer.py", {"download"}),
        ("nasir/data/datasets/sample.csv", {"download", "pair"}),
        ("nasir/data/datasets/bsd500.csv", set()),
        ("nasir/data/pairs/rain.py", {"pair"}),
        ("nasir/data/pairs/motion.py", {"pair"}),
        ("nasir/data/camera/sensor.py", {"pair"}),
        ("nasir/data/split.py", {"split"}),
        ("nasir/data/duplicates/leaks.py", {"audit"}),
        ("nasir/spaces/irnas.py", OF_SPACE),
        ("nasir/spaces/hinas.py", set()),
        ("nasir/spaces/cells/searching.py", {"search"}),
        ("nasir/spaces/cells/decode.py", {"search"}),
        ("nasir/spaces/cells/fast/fused.py", {"search"}),
        ("nasir/spaces/cells/drawing.py", {"derive"}),
        ("nasir/spaces/cells/modify.py", {"derive"}),
        ("nasir/search/darts.py", {"search"}),
        ("nasir/search/gradient/unrolled.py", {"search"}),
        ("nasir/search/random.py", set()),
        ("nasir/config/retrain.py", {"retrain"}),
        ("nasir/training/retrain.py", {"retrain"}),
        ("nasir/training/loop.py", {"search", "retrain"}),
        ("nasir/networks/dncnn.py", set()),
        ("nasir/evaluation/classical.py", {"evaluate"}),
        ("nasir/reporting/run/page.py", {"report"}),
        ("nasir/reporting/html/page.py", {"report"}),
        ("nasir/reporting/html/page.html", {"report"}),
        ("nasir/reporting/html/page.css", {"report"}),
        ("nasir/reporting/html/page.js", {"report"}),
        ("nasir/reporting/figures.py", {"report"}),
        ("nasir/reporting/paper/page.py", set()),
        ("nasir/cli.py", set()),
        ("stages/tables/train.py", set()),
        ("stages/around/tracking.py", set()),
        ("stages/around/sending/server.py", set()),
    ],
)
def test_by_name_a_file_is_part_of_these_steps(root, file, steps):
    before = digests(root)
    path = root / file
    if path.suffix in DATA:
        path.write_text(path.read_text() + "\n")
    else:
        other_code(path)

    assert changed(before, digests(root)) == steps


@pytest.mark.parametrize(
    ("chosen", "file", "steps"),
    [
        (settings(space="hinas"), "nasir/spaces/hinas.py", OF_SPACE),
        (settings(space="hinas"), "nasir/spaces/irnas.py", set()),
        (settings("random"), "nasir/search/random.py", {"search"}),
        (settings("random"), "nasir/search/gradient/stopping.py", {"search"}),  # by its budget, of the other strategy
        (settings(dataset="rain800"), "nasir/data/datasets/rain800.csv", {"download", "pair"}),
        (settings(dataset="rain800"), "nasir/data/datasets/sample.py", set()),
        (settings(dataset="folder"), "nasir/data/datasets/sample.py", set()),
    ],
)
def test_what_was_chosen_by_name_is_part_of_a_run(root, chosen, file, steps):
    before = digests(root, chosen)
    path = root / file
    path.write_text(path.read_text() + ("\n" if path.suffix == ".csv" else "\nONE_MORE = None\n"))

    assert changed(before, digests(root, chosen)) == steps


def of_network(root: Path, network: str) -> str:
    return entries.digest("retrain", RUN, network, Code(root))


def test_a_baseline_is_part_of_its_own_training_alone(root):
    before = {network: of_network(root, network) for network in ("dncnn", "ddn", "memnet", "memnet-shared")}
    other_code(root / "nasir/networks/dncnn.py")
    assert {network for network in before if of_network(root, network) != before[network]} == {"dncnn"}

    before["dncnn"] = of_network(root, "dncnn")
    other_code(root / "nasir/networks/memnet.py")
    other_code(root / "nasir/spaces/irnas.py")  # a baseline has no space
    assert {n for n in before if of_network(root, n) != before[n]} == {"memnet", "memnet-shared"}


def test_in_the_tables_too_a_file_is_part_of_the_cells_that_read_it(root):
    baseline = settings(cell=CELL | {"method": "ddn", "is_baseline": True})
    modified = settings(modify="r1")
    kinds = {
        "found": ("train", RUN), "modified": ("train", modified), "baseline": ("train", baseline),
        "data": ("data", RUN), "search": ("search", RUN), "score": ("score", RUN), "claims": ("claims", RUN),
        "page": ("page", RUN),
    }  # fmt: skip

    def made() -> dict[str, str]:
        code = Code(root)
        return {name: entries.digest(kind, chosen, code=code) for name, (kind, chosen) in kinds.items()}

    for file, readers in {
        "nasir/networks/ddn.py": {"baseline"},
        "nasir/networks/dncnn.py": {"claims"},
        "nasir/spaces/cells/modify.py": {"modified"},
        "nasir/spaces/irnas.py": {"found", "modified", "search", "claims"},
        "nasir/spaces/cells/searching.py": {"search", "claims"},  # the memory of whose supernet is measured
        "nasir/data/pairs/rain.py": {"data"},
        "nasir/evaluation/classical.py": {"found", "modified", "baseline", "score", "claims"},  # these share a module
        "nasir/reporting/paper/verdicts.py": {"page"},
        "stages/retrain.py": {"found", "modified", "baseline"},
    }.items():
        before = made()
        other_code(root / file)
        assert changed(before, made()) == readers, file


PLUG_IN = "from {module} import {base}\nclass Another({base}):\n    name = 'another'\n{word} = Another()\n"
NEW = {
    "nasir/networks/another.py": "from nasir.networks.baseline import Baseline\nBASELINES: dict[str, Baseline] = {}\n",
    "nasir/data/datasets/another.py": "from nasir.data import manifest\nNAME = 'another'\n",
    "nasir/data/datasets/another.csv": "name\n",
    "nasir/spaces/another.py": PLUG_IN.format(module="nasir.spaces.irnas", base="IrNas", word="SPACE"),
    "nasir/search/another.py": PLUG_IN.format(module="nasir.search.random", base="Random", word="STRATEGY"),
}


@pytest.mark.parametrize("file", NEW)
def test_a_new_neighbour_changes_nothing(root, file):
    runs = [RUN, settings("random", space="hinas", dataset="rain800", task="derain")]
    before = [digests(root, run, [*STEPS, *entries.TABLES]) for run in runs]
    (root / file).write_text(NEW[file])

    assert [changed(*both) for both in zip(before, [digests(root, r, before[0]) for r in runs], strict=True)] == [
        set()
    ] * 2


def test_another_place_of_the_checkout_changes_nothing(root, tmp_path):
    before = digests(root)
    shutil.copytree(root, tmp_path / "elsewhere" / "deep")

    assert digests(tmp_path / "elsewhere" / "deep") == before


def little(root: Path, **texts: str) -> Path:
    """A project of these modules, `nasir.` before each name."""
    (root / "nasir").mkdir()
    for name, text in {"__init__": "", **texts}.items():
        (root / "nasir" / f"{name}.py").write_text(text)
    return root


def test_an_import_within_a_function_counts(tmp_path):
    little(tmp_path, a="def f():\n    from nasir import b\n    return b\n", b="import nasir.c", c="", d="")

    assert list(sorted(Code(tmp_path).reached(["nasir.a"]))) == ["nasir", "nasir.a", "nasir.b", "nasir.c"]


def test_an_import_for_a_type_checker_does_not_count_but_what_stands_in_its_place_does(tmp_path):
    checked = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import nasir.b\nelse:\n    import nasir.c\n"
    little(tmp_path, a=checked, b="", c="")

    assert sorted(Code(tmp_path).reached(["nasir.a"])) == ["nasir", "nasir.a", "nasir.c"]


def test_an_import_under_another_condition_counts(tmp_path):
    little(tmp_path, a="try:\n    import nasir.b\nexcept ImportError:\n    from nasir.c import d\n", b="", c="d = 1")

    assert sorted(Code(tmp_path).reached(["nasir.a"])) == ["nasir", "nasir.a", "nasir.b", "nasir.c"]


def test_packages_run_before_their_modules_and_so_count(tmp_path):
    little(tmp_path, a="")
    before = Code(tmp_path).digest(["nasir.a"])
    (tmp_path / "nasir/__init__.py").write_text("ONE = 1")

    assert Code(tmp_path).digest(["nasir.a"]) != before


def test_modules_that_import_each_other_are_followed_once(tmp_path):
    little(tmp_path, a="import nasir.b", b="import nasir.a")

    assert sorted(Code(tmp_path).reached(["nasir.a"])) == ["nasir", "nasir.a", "nasir.b"]


def test_a_table_beside_a_module_counts_and_one_beside_another_does_not(tmp_path):
    little(tmp_path, a="", b="")
    before = Code(tmp_path).digest(["nasir.a"])
    (tmp_path / "nasir/b.csv").write_text("1")
    assert Code(tmp_path).digest(["nasir.a"]) == before

    (tmp_path / "nasir/a.csv").write_text("1")
    first = Code(tmp_path).digest(["nasir.a"])
    (tmp_path / "nasir/a.csv").write_text("2")
    assert len({before, first, Code(tmp_path).digest(["nasir.a"])}) == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 1.0"), ("x = 1", "x = None"), ("x = 1", "x = True"), ("x = 1", "x = '1'"), ("x = 'a'", "x = b'a'"),
        ("x = None", "x = ()"),
        ("x = []", "x = ()"), ("x = 1\ny = 2", "y = 2\nx = 1"), ("f(a=1)", "f(b=1)"), ("f(x)", "f(*x)"), ("a.b", "a.c"),
        ("def f(a, b=1): pass", "def f(a=1, b=1): pass"), ("def f(*, a, b=1): pass", "def f(*, a=1, b): pass"),
        ("{**a, 1: b}", "{1: b, **a}"), ("x = y = 1", "x = 1"), ("return_ = f'{a:.2f}'", "return_ = f'{a:.3f}'"),
        ("f'{a!r}'", "f'{a}'"), ("x[1:]", "x[:1]"), ("x: int = 1", "x: float = 1"), ("x = 'docstring'", "x = 'another'"),
        ("from nasir import a as b", "from nasir import a"), ("f('a string')", "f('another')"), ("-x", "+x"),
        ("a < b", "a <= b"), ("async def f(): pass", "def f(): pass"), ("lambda x: x", "lambda *x: x"),
    ],
)  # fmt: skip
def test_code_that_computes_something_else_has_another_digest(tmp_path, one, other):
    little(tmp_path, a=one)
    before = Code(tmp_path).digest(["nasir.a"])
    (tmp_path / "nasir/a.py").write_text(other)

    assert Code(tmp_path).digest(["nasir.a"]) != before


@pytest.mark.parametrize("module", ["nasir.nothing", "nasir.a.b", "torch", "somewhere"])
def test_a_module_that_is_not_there_is_refused_by_name(tmp_path, module):
    little(tmp_path, a="")

    with pytest.raises(ValueError, match=rf"must be one of this project \(nasir, stages\), got '{module}'"):
        Code(tmp_path).digest([module])


@pytest.mark.parametrize("text", ["from . import b", "from .b import c"])
def test_a_relative_import_is_refused_since_it_is_not_followed(tmp_path, text):
    little(tmp_path, a=f"x = 1\n{text}", b="c = 1")

    with pytest.raises(ValueError, match=r"a.py must name what it imports in full, got a relative import in line 2"):
        Code(tmp_path).digest(["nasir.a"])


LOADED = "import sys\nfrom importlib import import_module\nfor name in sys.argv[1:]: import_module(name)\nprint(*sys.modules)"


def test_everything_that_is_really_imported_is_reached():
    """In processes of their own, all at once: each of them takes the seconds that torch takes."""
    kinds = {step: entries.entries(step, RUN) for step in ("search", "derive", "retrain", "evaluate")}
    started = {
        step: subprocess.Popen([sys.executable, "-c", LOADED, *names], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for step, names in kinds.items()
    }
    for step, process in started.items():
        output, _ = process.communicate(timeout=120)
        loaded = {name for name in output.split() if name.split(".")[0] in ("nasir", "stages")}
        assert process.returncode == 0 and set(kinds[step]) <= loaded
        assert loaded - set(Code().reached(kinds[step])) == set(), step
