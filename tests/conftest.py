"""Shared fixtures: a tiny random model made in code, the pulled real model, the folder of real tasks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from backbones import make_encoder, make_frozen, make_learnable
from checks import remembered, repeated
from completion_stand_in import StandIn, sharp_model, standing_in
from helpers import REALTASKS
from hypothesis import settings

from metaicl.lm import models
from metaicl.lm.attention import speed as attention_speed

# tiny models: a second thread costs more than it gains; set, it is obeyed, for numbers may depend on it
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
# no deadline, for a machine may have other work; the same examples each time, for a test that fails now and then
# is believed by nobody (HYPOTHESIS_PROFILE=explore looks for new ones); `make slow` tries more (support/examples.py)
settings.register_profile("same", deadline=None, derandomize=True, max_examples=24)
settings.register_profile("thorough", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

NUMERICS = {
    *("attention_plan", "attention_selection", "families", "flex", "kernel", "layer_states", "lower_layers"),
    *("output_head", "prompt_tree", "prompts", "second_order", "soft_tokens", "tied", "tree"),
    *("encoder_items", "knn", "matching", "protonet", "prototypes", "relation", "ridge", "snail", "embedding"),
    *("adapted", "gradient_base", "inner_loop", "lstm_meta", "maml", "meta_sgd", "reptile", "tnet"),
    *("bmaml", "platipus", "context_tuning", "icl", "in_context_metaicl", "items", "prefix_tuning", "selection"),
    *("test_time_training", "tuned_context", "chance", "experts", "finetune", "setfit_lm", "every_method"),
    *("answer_loss", "learned_prefix", "rehearsal", "cached_prompt", "learned_maps", "label_prior", "abmll"),
    *("learned_optimisers", "methods", "reference_curves", "scoring", "calibration", "trainer"),
}
OWN = r"(metaicl|task_suites|eval)(\.|$)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem.removeprefix("test_") in NUMERICS:
            item.add_marker(pytest.mark.numerics)


@pytest.fixture(autouse=True)
def no_warning_of_our_own() -> Iterator[None]:
    """A warning that a module of ours gives, or earns by how it calls a library, is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module=OWN)
        yield


@pytest.fixture(autouse=True, scope="session")
def the_tree_is_quicker() -> Iterator[None]:
    """Which attention a test runs does not depend on how quick this machine is (test_attention_speed.py has more)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention_speed, "measured_once", lambda question, answers, measure: "tree")
        yield


@pytest.fixture(scope="session", autouse=True)
def one_check_of_each_tiny_model() -> Iterator[None]:
    with remembered():
        yield


@pytest.fixture
def a_check_at_each_loading() -> Iterator[None]:
    """For tests of the checks themselves, and those that change what is checked."""
    with repeated():
        yield


@pytest.fixture(scope="session")
def realtasks() -> Path:
    """The folder of real tasks beside the project, where there is one."""
    if not REALTASKS.is_dir():
        pytest.skip("the folder of real tasks is not here")
    return REALTASKS


@pytest.fixture(scope="session")
def real_model() -> str:
    """The name of the pulled default model."""
    if models.local_folder("smollm2-135m") is None:
        pytest.skip("smollm2-135m is not pulled: metaicl models pull smollm2-135m")
    return "smollm2-135m"


@pytest.fixture(scope="session")
def real_encoder() -> str:
    """The name of the pulled sentence encoder."""
    if models.local_folder("minilm-l6") is None:
        pytest.skip("minilm-l6 is not pulled: metaicl models pull minilm-l6")
    return "minilm-l6"


@pytest.fixture(scope="session")
def frozen():
    """A frozen tiny backbone in float32; tests do not change it."""
    return make_frozen()


@pytest.fixture
def learnable():
    """A fresh tiny backbone with LoRA weights that differ from zero, so that they matter."""
    return make_learnable()


@pytest.fixture(scope="module")
def encoder():
    """A tiny sentence encoder; tests do not change it."""
    return make_encoder()


@pytest.fixture(scope="module")
def sharp_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random model whose answers lie far apart."""
    return sharp_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def server(sharp_folder: Path) -> Iterator[StandIn]:
    """A server of that model, one for each file of tests."""
    with standing_in(sharp_folder) as one:
        yield one
