"""Build the distributions, install the wheel into a clean environment, and see that it works there.

    python tools/release_check.py                          # with this Python
    python tools/release_check.py python3.12 python3.13    # with others

Everything runs in a temporary folder, away from this source tree. Dependencies come from pip's own index settings. For
each Python the last line says "works" or which step failed; the exit status is 1 where one failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMOS = """{"input": "a red apple", "output": "fruit"}
{"input": "a heavy hammer", "output": "tool"}
{"input": "a ripe pear", "output": "fruit"}
{"input": "a sharp saw", "output": "tool"}
"""
CHECKS = "from metaicl.testing import check_method, check_source\n"
CHECKS += "check_method('word_overlap:WordOverlap'); check_source('arithmetic:numbers')"


def run(*words: str | Path, where: Path, **more: str) -> str:
    """What a command prints; it sees neither this tree nor settings of metaicl, and no model hub.

    Raises:
        subprocess.CalledProcessError: it failed; what it printed is in the exception.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "METAICL_"))}
    environment = {**kept, "HF_HUB_OFFLINE": "1", **more}
    done = subprocess.run(list(map(str, words)), cwd=where, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def build(folder: Path) -> tuple[Path, Path]:
    """(sdist, wheel): the wheel is built from what the sdist holds, as an index's users would get it."""
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, where=folder)
    [sdist], [wheel] = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def check(python: str, sdist: Path, wheel: Path, folder: Path) -> None:
    """Install the wheel for one Python and use it: help, tasks, a prediction, and the examples of the sdist."""
    print(f"{python}: installing into a clean environment ...", flush=True)
    run(python, "-m", "venv", folder / "venv", where=folder)
    binaries = folder / "venv" / "bin"
    run(binaries / "python", "-m", "pip", "install", "--quiet", wheel, where=folder)
    command = binaries / "metaicl"
    assert "usage: metaicl" in run(command, "--help", where=folder), "metaicl --help shows no usage"
    assert run(command, "--version", where=folder).strip() in wheel.name, "another version than the wheel's"
    assert "metaicl" in run(command, "methods", "list", where=folder), "methods list lacks metaicl"
    assert "meta_test" in run(command, "suites", "list", where=folder), "the built-in suite is missing"
    (folder / "demos.jsonl").write_text(DEMOS, encoding="utf-8")
    (folder / "inputs.jsonl").write_text('{"input": "a blunt axe"}\n', encoding="utf-8")
    files = ("--demos", "demos.jsonl", "--inputs", "inputs.jsonl")
    answer = run(command, "predict", "--model", "tiny-random", *files, where=folder)
    assert '"answer": ' in answer, f"no answer: {answer}"
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    [examples] = folder.glob("metaicl-*/examples")
    run(binaries / "python", "-c", CHECKS, where=examples, PYTHONPATH=str(examples))


def main() -> int:
    """Check each Python that is named; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "pythons", nargs="*", default=[sys.executable], help="names or paths; this one where none is given"
    )
    pythons = parser.parse_args().pythons
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        print("Building sdist and wheel ...", flush=True)
        sdist, wheel = build(Path(scratch))
        print(f"{sdist.name}, {wheel.name}")
        for number, python in enumerate(pythons):
            (folder := Path(scratch) / str(number)).mkdir()
            try:
                check(python, sdist, wheel, folder)
            except subprocess.CalledProcessError as error:
                failed = True
                print(f"{python}: FAILED at {' '.join(error.cmd)}\n{error.stdout}\n{error.stderr}")
            except AssertionError as error:
                failed = True
                print(f"{python}: FAILED: {error}")
            else:
                print(f"{python}: works ({run(python, '--version', where=folder).strip()})")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
