"""Which model each method of a comparison runs on."""

from __future__ import annotations

import pytest
from backbones import tiny_config
from hypothesis import given
from hypothesis import strategies as st

import metaicl
from eval.benchmark import entry_key
from eval.config import BenchmarkRun, Protocol
from eval.contenders import Backbones, contender
from eval.hyperparameters import Hyperparameters
from eval.method_on_model import MethodOnModel
from metaicl.lm.config import BackboneConfig
from metaicl.lm.tiny import tiny_encoder
from metaicl.training.checkpoint import trained_folder
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

TINY = {"model": "tiny-random", "encoder": "tiny-encoder", "dtype": "float32", "device": "cpu"}
SMALL = {"k": [4], "seeds": 1, "queries": 4, "progress": False}


@given(
    name=st.text(st.characters(categories=["L", "P"], exclude_characters="@/"), min_size=1), model=st.text(min_size=1)
)
def test_an_entry_is_a_method_and_after_an_at_its_model(name, model):
    assert MethodOnModel.of(name) == MethodOnModel(name, name, None)
    assert MethodOnModel.of(f"{name}@{model}") == MethodOnModel(f"{name}@{model}", name, model)
    assert not {"/", "\\"} & set(MethodOnModel.of(f"{name}@{model}").name)  # it names a file


@pytest.mark.parametrize(
    ("given", "model", "expected"),
    [
        ("icl", "tiny-random", "tiny-random"),
        ("knn", "tiny-random", "tiny-random"),  # it runs on either kind
        ("knn", "tiny-encoder", "tiny-encoder"),
        ("knn@tiny-encoder", "tiny-random", "tiny-encoder"),
        ("icl@tiny-random", "tiny-encoder", "tiny-random"),
        ("logistic", "tiny-random", "the encoder"),
        ("logistic", "tiny-encoder", "tiny-encoder"),
        ("random", "tiny-encoder", "tiny-encoder"),
    ],
)
def test_the_model_is_the_entrys_own_then_the_comparisons_then_the_encoder(given, model, expected, monkeypatch):
    monkeypatch.setitem(metaicl.lm.models.MODELS, "the encoder", metaicl.lm.models.MODELS["minilm-l6"])
    found = MethodOnModel.of(given).backbone(BackboneConfig(model), "the encoder")
    assert (found.model, found.weights) == (expected, "frozen")


def test_a_comparison_mixes_both_kinds_and_says_which_model_each_method_stands_on(tmp_path):
    methods = ["icl", "logistic", "knn", "knn@tiny-encoder", "prototypes_names@tiny-encoder"]
    results = metaicl.evaluate(
        "toys:toy_suite", methods=methods, output_dir=str(tmp_path / "run"), baseline="icl", highlight="logistic",
        **TINY, **SMALL,
    )  # fmt: skip
    models = {m.name: m.settings["backbone"]["model"] for m in results.methods}
    expected = ["tiny-random", "tiny-encoder", "tiny-random", "tiny-encoder", "tiny-encoder"]
    assert models == dict(zip(methods, expected, strict=True))
    labels = {m.name: m.label for m in results.methods}
    assert labels["knn"] == "Nearest neighbours" and labels["knn@tiny-encoder"] == "Nearest neighbours (tiny-encoder)"
    assert {(m.name, m.method) for m in results.methods} >= {("knn@tiny-encoder", "knn"), ("logistic", "logistic")}
    assert len(results.cells) == 2 * len(methods) and not results.refusals
    assert (tmp_path / "run" / "predictions" / "knn@tiny-encoder.jsonl").is_file()


def test_options_are_given_to_an_entry_as_it_stands(tmp_path):
    results = metaicl.evaluate(
        "toys:toy_suite", methods=["knn@tiny-encoder"], method_options={"knn@tiny-encoder": {"neighbours": 3}},
        output_dir=str(tmp_path / "run"), baseline="knn", highlight="knn", model="tiny-random", dtype="float32",
        device="cpu", **SMALL,
    )  # fmt: skip
    assert results.methods[0].settings["options"]["neighbours"] == 3


@pytest.mark.parametrize(
    ("method", "models", "message"),
    [
        (
            "icl",
            {"model": "tiny-encoder"},
            "icl runs on a causal language model, but tiny-encoder is a sentence encoder",
        ),
        ("logistic@tiny-random", {}, "logistic runs on a sentence encoder, but tiny-random"),
        ("logistic", {"encoder": "tiny-random"}, "logistic runs on a sentence encoder, but tiny-random"),
        ("knn", {"encoder": "tiny-encoder"}, "encoder is tiny-encoder.*a method that needs a sentence encoder"),
        ("icl@nowhere", {}, "no model 'nowhere'"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(method, models, message, tmp_path):
    given = {"model": "tiny-random", "dtype": "float32", **models, **SMALL}
    with pytest.raises(UserError, match=message):
        metaicl.evaluate("toys:toy_suite", methods=[method], output_dir=str(tmp_path / "run"), **given)
    assert not (tmp_path / "run").exists()


def test_finished_cells_follow_the_encoder_of_methods_that_need_one_and_of_no_other(tmp_path):
    tiny_encoder(seed=1).save(str(tmp_path))

    def prints(name: str, encoder: str) -> tuple[str, str]:
        made = contender(name, tiny_config(), PromptFormat(), Backbones(), encoder=encoder)
        run = BenchmarkRun(backbone=tiny_config(), encoder=encoder, protocol=Protocol([2]))
        return made.fingerprint, entry_key(run, name, Hyperparameters(), "a task", 2, "")

    for name, same in (("icl", True), ("random", True), ("logistic", False)):
        one, other = prints(name, "tiny-encoder"), prints(name, str(tmp_path))
        assert (one[0] == other[0], one[1] == other[1]) == (same, same)


def test_a_folder_with_an_at_in_its_name_is_a_folder(tmp_path):
    folder = tmp_path / "run@home"
    folder.mkdir()
    (folder / "method.json").write_text("{}")
    assert trained_folder(folder) == folder
