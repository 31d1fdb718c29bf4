"""What the user wrote is what runs: a value given is never replaced, and every option's value is recorded."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Any, get_args

import pytest
import yaml
from backbones import tiny_config
from hypothesis import given
from hypothesis import strategies as st
from toys import toy_suite

from eval.config import BenchmarkRun, EvaluateRun, Protocol, TuneRun
from eval.evaluate import evaluate_run
from examples import examples
from metaicl.cli.main import parse
from metaicl.lm import tiny
from metaicl.lm.config import BackboneConfig
from metaicl.lm.kinds import load_backbone
from metaicl.methods import METHODS, method_class
from metaicl.methods.baselines.setfit_lm import SetFitLM
from metaicl.methods.options import option_types
from metaicl.training.checkpoint import MethodConfig, read_card
from metaicl.training.config import TrainerConfig, TrainRun
from metaicl.training.resolved import resolved
from metaicl.training.run import train_run
from task_suites.core.errors import UserError
from task_suites.core.ranges import ranges_of
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import SuiteConfig

LEARNING = [name for name in METHODS if method_class(name).weights != "frozen"]
ADAPTERS = {
    "weights": st.sampled_from(["lora", "full"]),
    "lora_r": st.sampled_from([1, 4, 16]),
    "lora_alpha": st.sampled_from([2, 8, 32]),
    "target_modules": st.sampled_from(["all-linear", "query-value", "q_proj"]),
    "lora_layers": st.sampled_from([0, 1, 10, 14]),
}
UNSET = {name: st.none() | values for name, values in ADAPTERS.items()}
small = examples(100)


@small
@given(name=st.sampled_from(LEARNING), adapters=st.fixed_dictionaries(UNSET))
def test_a_given_option_of_the_model_is_kept_and_every_other_one_gets_a_value(name, adapters):
    config = method_class(name).backbone_config(BackboneConfig(**adapters))
    assert {n: v for n, v in asdict(config).items() if v is None} == {}
    assert {n: getattr(config, n) for n, v in adapters.items() if v is not None} == {
        n: v for n, v in adapters.items() if v is not None
    }


@small
@given(data=st.data(), name=st.sampled_from(sorted(METHODS)))
def test_a_given_option_of_the_method_is_kept_and_every_other_one_gets_a_value(data, name):
    config = method_class(name).Config
    options = data.draw(st.fixed_dictionaries({}, optional={n: values(t) for n, t in option_types(config).items()}))
    found = method_class(name).configured(options).to_dict()
    assert found == {**config().to_dict(), **options}
    assert json.loads(json.dumps(found)) == found


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values that an option of this type may have."""
    if ranges := [*ranges_of(kind)]:
        (number, allowed), unset = ranges[0], st.none() if type(None) in get_args(kind) else st.nothing()
        numbers = st.integers(-3, 40) if number is int else st.floats(-3, 40)
        return numbers.filter(allowed.__contains__) | unset
    if kind == dict[str, dict[str, Any]]:  # options by the names of methods
        return st.dictionaries(st.text(), st.dictionaries(st.text(), st.integers() | st.text()))
    return st.from_type(kind)


@small
@given(
    given=st.fixed_dictionaries(
        {},
        optional={
            f.name: st.just(getattr(TrainerConfig(k_min=1, curriculum_steps=3), f.name)) for f in fields(TrainerConfig)
        },
    ),
    max_steps=st.none() | st.integers(1, 500),
    warmup=st.none() | st.integers(0, 500),
    budget=st.integers(1, 500),
)
def test_a_given_option_of_the_trainer_is_kept(given, max_steps, warmup, budget):
    config = TrainerConfig(**{**given, "max_steps": max_steps, "warmup_steps": warmup})
    whole = config.resolved()
    assert None not in asdict(whole).values()
    assert all(getattr(whole, n) == v for n, v in asdict(config).items() if v is not None)
    within = replace(config, max_steps=None).within_budget(budget)
    assert within.max_steps == budget
    assert within.warmup_steps == (min(10, budget // 4) if warmup is None else warmup)


def test_rank_16_is_rank_16_also_where_it_is_the_general_default():
    _, run = parse(["train", "--method", "maml", "--lora_r", "16", "--target_modules", "all-linear"])
    found = resolved(run).backbone.adapters()
    assert (found.r, found.alpha, found.targets, found.layers) == (16, 32, "all-linear", 10)
    _, run = parse(["train", "--method", "maml"])
    assert resolved(run).backbone.adapters().r == 4


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_is_built_from_its_resolved_options_alone(name):
    model = tiny.NAME if "causal" in method_class(name).backbones else tiny.ENCODER
    learns = name != "setfit_lm" and model == tiny.NAME
    config = MethodConfig(
        name, {}, tiny_config(model=model, lora_r=None, lora_layers=1 if learns else None), PromptFormat()
    )
    whole = config.resolved()
    assert whole.resolved() == whole
    backbone = load_backbone(whole.backbone)
    assert backbone.config == whole.backbone
    assert method_class(name).build(backbone, whole.format, whole.options).form == whole.format


@pytest.mark.parametrize(
    ("method", "weights", "way"),
    [
        ("protonet", "lora", "protonet learns none of the model's weights. Leave weights out"),
        ("icl", "full", "icl learns none of the model's weights"),
        (
            "metaicl",
            "frozen",
            "metaicl learns some of the model's weights. Leave weights out, or set it to lora",
        ),
        ("finetune", "frozen", "weights is frozen, but finetune learns some"),
    ],
)
def test_weights_that_contradict_the_method_are_refused(method, weights, way):
    with pytest.raises(UserError, match=way):
        method_class(method).backbone_config(BackboneConfig(weights=weights))
    assert method_class(method).backbone_config(BackboneConfig()).weights != weights  # the way out


def test_weights_shared_by_several_methods_speak_of_those_that_learn_any():
    config = BackboneConfig(weights="full")
    assert method_class("icl").backbone_config(config, shared=True).weights == "frozen"
    assert method_class("finetune").backbone_config(config, shared=True).weights == "full"
    with pytest.raises(UserError, match="finetune learns some"):
        method_class("finetune").backbone_config(BackboneConfig(weights="frozen"), shared=True)


@pytest.mark.parametrize(("method", "field"), [("ict", "instruction"), ("metaicl_channel", "channel")])
def test_a_format_that_contradicts_the_method_is_refused(method, field):
    _, run = parse(["train", "--method", method, "--format", f"{field}=false"])
    with pytest.raises(UserError, match=rf"format.{field} is false, but {method} needs true. Leave format.{field} out"):
        resolved(run)
    for words in ([], ["--format", f"{field}=true"]):
        _, run = parse(["train", "--method", method, *words])
        assert getattr(resolved(run).format, field) is True
    assert getattr(resolved(TrainRun(method="metaicl")).format, field) is False


def test_the_results_of_a_comparison_have_the_value_of_every_option(tmp_path):
    toys = SuiteConfig(["toys:toy_suite"])
    run = EvaluateRun(
        "one", str(tmp_path / "one"), toys, methods=["icl", "setfit_lm"], backbone=tiny_config(),
        protocol=Protocol([2], 1, 2), method_options={"setfit_lm": {"steps": 1}}, highlight="setfit_lm", progress=False,
    )  # fmt: skip
    evaluate_run(run, lambda text: None)
    methods = json.loads((run.folder / "results.json").read_text(encoding="utf-8"))["methods"]
    icl, setfit = (method["settings"] for method in methods)
    assert (icl["backbone"]["weights"], setfit["backbone"]["weights"]) == ("frozen", "lora")
    assert setfit["options"] == {**SetFitLM.Config().to_dict(), "steps": 1}
    assert setfit["backbone"]["lora_layers"] == 14 and setfit["backbone"]["lora_r"] == 4
    for settings_ in (icl, setfit):
        assert None not in (*settings_["backbone"].values(), *settings_["format"].values())


def test_steps_and_a_budget_exclude_each_other():
    for words in (
        ["benchmark", "--max_steps", "100"],
        ["tune", "--budget_seconds", "5", "--max_steps", "100"],
    ):
        with pytest.raises(UserError, match=r"max_steps is 100, but .*budget.*Leave max_steps out"):
            parse(words)
    assert parse(["tune", "--max_steps", "100"])[1].trainer.max_steps == 100
    assert BenchmarkRun().trainer.max_steps is TuneRun(budget_seconds=5).trainer.max_steps is None


def test_the_record_of_a_run_has_the_value_of_every_option(tmp_path):
    toys = SuiteConfig(["toys:toy_suite"])
    run = TrainRun(
        "one", str(tmp_path / "one"), toys, "maml", {"inner_lr": 0.5}, tiny_config(lora_r=16),
        trainer=TrainerConfig(max_steps=1, k=2, queries=2), progress=False, resume=False,
    )  # fmt: skip
    train_run(run, lambda tasks, config: lambda method: 0.0, lambda text: None, toy_suite())
    recorded = next(yaml.safe_load_all((run.folder / "config.yaml").read_text(encoding="utf-8")))
    card = read_card(run.folder / "best")[0]
    assert (recorded["lora_r"], recorded["lora_alpha"], recorded["target_modules"]) == (16, 32, "query-value")
    assert recorded["method_options"]["test_steps"] == 30 and recorded["method_options"]["inner_lr"] == 0.5
    assert recorded["warmup_steps"] == 10
    unset = {name for name, value in recorded.items() if value is None}
    assert unset == {"min_train", "min_test"}  # each task has its own, by whether max_words took examples from it
    assert None not in recorded["format"].values()
    assert card.options == recorded["method_options"]
    assert card.resolved() == card and card.backbone.lora_r == 16
