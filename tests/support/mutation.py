"""Change one thing at a time in a module, and see whether its tests notice: results/log/mutation_testing_log.md.

    python tests/support/mutation.py statistics --sample 100

The changes are mutmut's. Each is written into a copy of the tree, and the module's tests run on it in a process forked
from one that has imported the libraries, so that a change costs seconds. The last line is JSON.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import libcst
from libcst.metadata import MetadataWrapper
from mutmut.mutation.file_mutation import MutationVisitor, deep_replace
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("torch", "transformers", "accelerate", "peft", "hypothesis", "numpy", "scipy.stats", "sklearn", "yaml")
# module -> (its file, the tests that concern it, the quickest first)
MODULES: dict[str, tuple[str, list[str]]] = {
    "episodes": ("task_suites/episodes.py", ["episodes", "retrieval"]),
    "prompt_tree": ("metaicl/lm/prompt_tree.py", ["prompt_tree", "tree", "flex"]),
    "scoring": ("metaicl/methods/scoring.py", ["scoring_rules", "scoring", "format_scoring"]),
    "search": ("metaicl/lm/search.py", ["search", "scoring"]),
    "intervals": ("eval/statistics/intervals.py", ["intervals"]),
    "metrics": ("eval/metrics.py", ["metrics"]),
    "checkpoint": ("metaicl/training/checkpoint.py", ["checkpoint", "weights"]),
}


def mutants(code: str) -> list[str]:
    """Return the module's text with one change each; those that change nothing are left out."""
    visitor = MutationVisitor(mutation_operators, IgnoredCode(set(), set(), set()))
    module = MetadataWrapper(libcst.parse_module(code)).visit(visitor)
    found = [deep_replace(module, m.original_node, m.mutated_node) for m in visitor.mutations]
    texts = [tree.code for tree in found if isinstance(tree, libcst.Module)]
    return [text for text in dict.fromkeys(texts) if text != code]


class Quick:
    """A plugin for pytest: no shrinking of a failing example, which nobody reads here."""

    def pytest_configure(self) -> None:
        from hypothesis import Phase, settings

        settings.register_profile("quick", deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate))
        settings.load_profile("quick")


def tests_pass(tree: Path, tests: list[str], seconds: float) -> bool:
    """Return whether the tests pass in a fork of this process within this many seconds; an endless loop fails."""
    process = os.fork()
    if not process:
        os.setsid()
        os.chdir(tree)
        sys.path[:0] = [str(tree)]
        os.environ["PYTHONPATH"] = str(tree)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        import pytest

        options = ["-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-m", "not slow"]
        os._exit(int(pytest.main([*options, *tests], plugins=[Quick()])))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return False


def measure(name: str, sample: int, seed: int) -> dict[str, Any]:
    """Print what survives; the numbers of a module."""
    path, files = MODULES[name]
    code = (ROOT / path).read_text(encoding="utf-8")
    every = mutants(code)
    chosen = random.Random(seed).sample(every, min(sample, len(every))) if sample else every
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__", "runs", "docs"))
        tests = [str(found.relative_to(ROOT)) for file in files for found in (ROOT / "tests").rglob(f"test_{file}.py")]
        started = time.monotonic()
        assert tests_pass(tree, tests, 600), f"the tests of {name} fail on the module as it is"
        limit = 30 + 5 * (time.monotonic() - started)
        survived = 0
        for number, text in enumerate(chosen, 1):
            (tree / path).write_text(text, encoding="utf-8")
            if tests_pass(tree, tests, limit):
                survived += 1
                diff = difflib.unified_diff(code.splitlines(), text.splitlines(), n=0, lineterm="")
                print(f"survivor {survived} (of {number})", *list(diff)[2:], sep="\n  ", flush=True)
    killed = len(chosen) - survived
    return {"module": path, "mutants": len(every), "tried": len(chosen), "killed": killed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", choices=[*MODULES, []], help="all where none is named")
    parser.add_argument("--sample", type=int, default=0, help="this many changes a module, drawn by the seed; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    for library in LIBRARIES:
        importlib.import_module(library)
    found = []
    for name in words.modules or MODULES:
        found.append(measure(name, words.sample, words.seed))
        print(*(f"{key} {value}" for key, value in found[-1].items()), sep=", ", flush=True)
    share = sum(one["killed"] for one in found) / sum(one["tried"] for one in found)
    print(json.dumps({"modules": found, "seed": words.seed, "killed_pct": round(100 * share, 1)}))


if __name__ == "__main__":
    main()
