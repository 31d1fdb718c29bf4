"""The floors of the house: no import runs up, also not inside a function, and no room is left without a floor."""

from __future__ import annotations

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = (  # from the ground up; what is in one package may import from its own floor and those below
    *("task_suites.core", "task_suites"),
    *("metaicl.lm", "metaicl.methods", "metaicl.training", "metaicl.inference", "metaicl.testing"),
    *("eval", "metaicl.cli"),
)
DOORS = ("metaicl.__init__", "metaicl.__main__")  # what a user enters by
MODULES = [path for top in ("task_suites", "metaicl", "eval") for path in sorted((ROOT / top).rglob("*.py"))]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def floor(module: str) -> int | None:
    """The number of the floor that a module is on; None where it is none of ours."""
    ours = [name for name in FLOORS if f"{module}.".startswith(f"{name}.")]
    return FLOORS.index(max(ours, key=len)) if ours else None


def imported(tree: ast.AST) -> set[str]:
    """Every module that is imported, at the top, in a function or only for types."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


CLOSE_A_CIRCLE = {  # (a module, what it imports): docs/architecture.md says why
    ("eval.results", "eval.report.page"),
    ("eval.results", "eval.report.texts"),
    ("metaicl.lm.attention.selection", "metaicl.lm.backbone"),
}


def arrows() -> set[tuple[str, str]]:
    """Every (module, module of ours that it imports), but those of the doors."""
    ours = {module_of(path).removesuffix(".__init__"): path for path in MODULES}
    found = set()
    for module, path in ours.items():
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            target = name if name in ours else name.rpartition(".")[0]
            if target in ours and target != module and not {module, f"{module}.__init__"} & set(DOORS):
                found.add((module, target))
    return found


def sorted_from_the_ground(arrows: set[tuple[str, str]]) -> list[str]:
    """The modules, each after all that it imports.

    Raises:
        CycleError: some import each other in a circle.
    """
    order: TopologicalSorter[str] = TopologicalSorter()
    for module, target in arrows:
        order.add(module, target)
    return list(order.static_order())


def test_modules_import_each_other_in_no_circle_but_those_that_are_known():
    assert len(sorted_from_the_ground(arrows() - CLOSE_A_CIRCLE)) > 300


@pytest.mark.parametrize("arrow", sorted(CLOSE_A_CIRCLE))
def test_each_circle_that_is_known_is_still_there(arrow):
    with pytest.raises(CycleError):
        sorted_from_the_ground((arrows() - CLOSE_A_CIRCLE) | {arrow})


@pytest.mark.parametrize("path", MODULES, ids=module_of)
def test_no_import_runs_up(path):
    module = module_of(path)
    if module in DOORS:
        return
    here = floor(module)
    assert here is not None, f"{module} is on no floor"
    names = imported(ast.parse(path.read_text(encoding="utf-8")))
    assert not [name for name in names if (there := floor(name)) is not None and there > here]


def test_an_import_that_runs_up_would_be_found():
    source = "def later():\n    from eval.results import Cell\n    import metaicl.cli.main\n"
    assert {floor(name) for name in imported(ast.parse(source))} == {FLOORS.index("eval"), FLOORS.index("metaicl.cli")}
    assert floor("metaicl.lm.backbone") < floor("metaicl.methods.scoring")
    assert floor("evaluate") is None


def test_the_tests_lie_as_the_packages_do():
    tests = ROOT / "tests"
    rooms = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")} - {Path(".")}
    assert [room for room in rooms if not (ROOT / room / "__init__.py").is_file()] == []


def test_no_test_imports_a_test():
    for path in (ROOT / "tests").rglob("*.py"):
        names = imported(ast.parse(path.read_text(encoding="utf-8")))
        assert not [name for name in names if name.startswith("test_")], path


MIRRORED = ("task_suites", "metaicl", "eval")
WITHOUT_TESTS = {
    "task_suites/formats/segments.py": "a record",
    "metaicl/lm/choice.py": "two records",
    "metaicl/lm/refused.py": "an exception without a body",
    "metaicl/inference/config.py": "two records",
    **{
        f"metaicl/cli/{command}.py": f"a record and one call of what {tested} tests"
        for command, tested in (
            ("benchmark", "eval/test_benchmark.py"),
            ("export", "metaicl/training/test_training_export.py"),
            ("quickstart", "eval/quickstart/test_quickstart_run.py"),
            ("reproduce", "eval/reproduce/test_reproduce_run.py"),
            ("serve", "metaicl/inference/service/test_process.py"),
            ("train", "metaicl/training"),
            ("try", "metaicl/inference/test_session.py"),
            ("tune", "eval/test_tune.py"),
        )
    },
}


@pytest.mark.parametrize("top", MIRRORED)
def test_each_module_has_a_test_file_of_its_name_in_the_same_room(top):
    missing = []
    for path in (ROOT / top).rglob("*.py"):
        where = path.relative_to(ROOT)
        names = (f"test_{path.stem}.py", f"test_{path.parent.name}_{path.stem}.py")
        if path.stem not in ("__init__", "__main__") and where.as_posix() not in WITHOUT_TESTS:
            missing += (
                [where.as_posix()] if not any((ROOT / "tests" / where.parent / n).is_file() for n in names) else []
            )
    assert sorted(missing) == []


def test_each_module_without_tests_is_there_and_has_none():
    assert [path for path in WITHOUT_TESTS if not (ROOT / path).is_file()] == []
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests").rglob("test_*.py")}
    named = [Path(path) for path in WITHOUT_TESTS]
    assert [path for path in named if f"{path.parent.name}_{path.stem}" in tested] == []


def test_no_two_test_files_have_one_name():
    """pytest imports them by their names, and refuses the second one only where both are collected."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert not [name for name, count in names.items() if count > 1]
