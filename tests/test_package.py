"""The built wheel holds what it needs, and works where nothing of this source tree is in sight."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


def run(*command: object, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHONPATH", "METAICL_"))}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    if importlib.util.find_spec("hatchling") and importlib.util.find_spec("build"):
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    else:
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    [built] = folder.glob("metaicl-*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it, and this one's libraries (but not its editable install) in reach."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    made = folder / "bin" / "python"
    site = Path(run(made, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    # a line of a .pth file adds a folder without reading the .pth files in it, so the editable install stays out
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(made, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--force-reinstall", wheel, cwd=folder)
    return made


def test_the_wheel_holds_the_packages_and_their_data_and_no_tests(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        f"{package}/{name}" for package in ("metaicl", "task_suites", "eval") for name in ("__init__.py", "py.typed")
    }
    wanted |= {
        "eval/report/report.html.jinja",
        "eval/report/macros.html.jinja",
        "eval/report/page.css",
        "eval/report/page.js",
        "metaicl/cli/main.py",
        *(f"metaicl/inference/service/page/{name}" for name in ("page.html", "page.css", "page.js")),
        "metaicl/methods/base.py",
        "task_suites/embedded/generator.py",
    }
    released = "metaicl/released/smollm2-135m-metaicl"
    wanted |= {f"{released}/{name}" for name in ("README.md", "adapter_config.json", "adapter_model.safetensors")}
    wanted.add(f"{released}/method.json")
    assert wanted - names == set()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"metaicl", "task_suites", "eval"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_every_python_file_and_every_family_of_tasks_is_in_the_wheel(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    paths = [p for top in ("metaicl", "task_suites", "eval") for p in (ROOT / top).rglob("*.py")]
    paths += (ROOT / "task_suites" / "embedded" / "families").glob("*.yaml")
    assert {str(path.relative_to(ROOT)) for path in paths} - names == set()


def test_the_installed_wheel_answers(python: Path, tmp_path: Path):
    place = run(python, "-c", "import metaicl; print(metaicl.__file__)", cwd=tmp_path)
    assert str(python.parent.parent) in place
    command = python.parent / "metaicl"
    from metaicl import __version__

    assert run(command, "--version", cwd=tmp_path).strip() == __version__
    assert "meta_test" in run(command, "suites", "list", cwd=tmp_path)


def test_the_installed_wheel_trains_and_reports(python: Path, tmp_path: Path):
    command = python.parent / "metaicl"
    run(
        *(command, "quickstart", "--model", "tiny-random", "--dtype", "float32"),
        *("--max_steps", "4", "--max_tasks", "2", "--seeds", "1", "--queries", "2", "--k", "4", "--max_words", "12"),
        *("--finetune_cells", "1", "--no-progress", "--output_dir", tmp_path / "quick"),
        cwd=tmp_path,
    )
    assert (tmp_path / "quick" / "report.html").stat().st_size > 10_000
