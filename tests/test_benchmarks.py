"""The benchmarks run, agree with the slow ways, and end in one JSON line. Their times are not looked at."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = [path for top in ("task_suites", "metaicl", "eval") for path in sorted((ROOT / top).rglob("*.py"))]


def private(tree: ast.AST) -> tuple[set[str], set[str]]:
    """The names with one underscore before them that are made here, and those that are read of something else."""
    made, read = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.Attribute):
            (made if isinstance(node.value, ast.Name) and node.value.id == "self" else read).add(node.attr)
    return tuple({name for name in names if name[0] == "_" != name[1:2]} for names in (made, read))


def test_no_benchmark_reads_what_a_package_keeps_to_itself():
    """So that a change inside of a package breaks no benchmark, which only the slow tests would tell."""
    ours = set().union(*(private(ast.parse(path.read_text(encoding="utf-8")))[0] for path in PACKAGES))
    assert "_plain" in ours
    assert private(ast.parse("backbone._plain = 1; self._mine; torch.__version__")) == ({"_mine"}, {"_plain"})
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        own, read = private(ast.parse(path.read_text(encoding="utf-8")))
        assert not read & ours - own - vars(nn.Module()).keys(), path.name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "options", "keys"),
    [
        ("attention", ["--repeats", "1", "--demonstrations", "4", "--queries", "4"], ["speedup", "relative_error"]),
        (
            "scoring",
            ["--quick", "--skip-backbone", "--skip-lm-eval"],
            [
                "speedup_vs_padded",
                "speedup_vs_padded_channel",
                "speedup_vs_llmbox",
                "speedup_vs_llmbox_channel",
                "tokens_over_trie",
                "padding_pct",
                "max_abs_logprob_diff",
            ],
        ),
        (
            "training",
            ["--quick", "--skip-backbone"],
            ["queries_per_s_ratio_padded", "queries_per_s_ratio_packed", "max_gradient_diff"],
        ),
        (
            "inner_loop",
            ["--quick"],
            ["speedup_vs_loop", "speedup_vs_clone", "max_rel_diff", "shared_lower_ratio", "peak_mib"],
        ),
        (
            "suites",
            ["--quick"],
            ["open_s", "rss_mb", "episodes_per_s", "tokenised_episodes_per_s", "audit_examples_per_s", "audit_growth"],
        ),
        ("methods", ["--quick"], ["methods"]),
        (
            "startup",
            ["--quick"],
            ["predict_over_import", "first_predict_over_import", "max_score_diff"],
        ),
        ("inference", ["--quick"], ["query_over_forward", "fit_over_prefix", "tokens_recomputed", "wrong"]),
        ("predicting", ["--quick", "--formats", "jsonl", "csv"], ["peak_mib_jsonl", "largest_growth_mib"]),
        ("serving", ["--quick"], ["throughput_ratio", "p99_over_p50", "wrong", "lost", "rss_growth_mb"]),
        ("vllm", ["--quick"], ["answers_that_differ", "largest_difference", "named_tokens", "cached_pct"]),
        ("harness", ["--quick"], ["speedup_vs_cells", "overhead_pct", "resumes_identical", "coverage_pct"]),
        ("coverage", ["--rounds", "50"], ["coverage_pct", "percentile_pct", "bca_pct", "studentized_pct"]),
        ("tasks_and_steps", ["--quick", "--tasks", "3", "--steps", "2", "--seeds", "0"], ["rows", "validation_tasks"]),
        ("release", ["--quick"], ["gain_over_calibrated", "gain_ci_low", "gain_over_encoder", "worst_task"]),
        ("pitfalls", ["--quick"], ["overfitting", "mismatch", "leakage"]),
        (
            "scaling",  # its other parts are those of tests/metaicl/training/{test_world_size,engines/test_fsdp2}.py
            ["--quick", "--parts", "steps", "overheads", "plans"],
            ["two_process_efficiency", "step_overhead_pct", "plan_error_pct", "checkpoint_overhead_pct"],
        ),
        (
            "resume",
            ["--quick"],
            ["kills_tried", "weights_identical", "optimizer_identical", "metrics_identical", "validation_identical"],
        ),
    ],
)
def test_a_benchmark_runs_agrees_with_the_slow_way_and_ends_in_one_json_line(script, options, keys):
    done = subprocess.run(
        [sys.executable, f"benchmarks/{script}.py", *options], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    line = json.loads(done.stdout.splitlines()[-1])
    assert line["benchmark"] == script and set(keys) <= set(line)
