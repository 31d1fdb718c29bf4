"""What a saved method's folder holds, what is read from it, and how a folder that is not one is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from backbones import tiny_config

from metaicl.lm.merged import PUT_BACK
from metaicl.lm.tiny import tiny_model, tiny_tokenizer
from metaicl.training.checkpoint import (
    BaseShape,
    MethodConfig,
    holds_method,
    load_method,
    load_weights,
    read_card,
    read_training,
    save_method,
)
from metaicl.training.identity import Training, model_identity
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

CONFIG = MethodConfig("metaicl", {"prior_share": 0.25}, tiny_config(), PromptFormat(answer=" =>"))
AGAIN = "Copy the folder again from where it was trained, or train again."


def save(folder: Path, config: MethodConfig = CONFIG, training: Training | None = None) -> Path:
    save_method(config.build(), config, folder, training)
    return folder


@pytest.fixture(scope="module")
def best(tmp_path_factory) -> Path:
    """A saved method; tests do not change it."""
    return save(tmp_path_factory.mktemp("saved") / "best")


def refusal(call: Callable[..., object], *given: object) -> str:
    with pytest.raises(UserError) as error:
        call(*given)
    return str(error.value)


def with_card(folder: Path, **changes: Any) -> Path:
    card = json.loads((folder / "method.json").read_text())
    (folder / "method.json").write_text(json.dumps({**card, **changes}))
    return folder


def test_the_card_holds_what_every_option_was(best):
    text = (best / "method.json").read_text(encoding="utf-8")
    card = json.loads(text)
    assert text.startswith('{\n "name"') and text.endswith("}\n")
    assert set(card) == {"name", "options", "format", "backbone", "base", "base_from_here", "training", "files"}
    resolved = CONFIG.resolved()
    assert read_card(best) == (resolved, BaseShape(**card["base"]))
    assert card["name"] == "metaicl" and card["options"] == resolved.options and card["training"] is None
    assert card["options"]["prior_share"] == 0.25 and card["options"]["objective"] == "options"
    assert card["format"]["answer"] == " =>" and card["backbone"]["lora_r"] == 4
    assert card["base"] == {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 257}


def test_a_method_is_built_as_its_configuration_says(best):
    method = CONFIG.build(seed=3)
    assert method.form.answer == " =>" and method.backbone.config.lora_r == 4 and method.config.prior_share == 0.25
    first, same, other = (
        next(iter(c.build(seed=s).learned().values())) for c, s in ((CONFIG, 3), (CONFIG, 3), (CONFIG, 4))
    )
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert torch.equal(
        next(iter(CONFIG.build().learned().values())), next(iter(CONFIG.build(seed=0).learned().values()))
    )
    backbone = method.backbone
    assert CONFIG.build(backbone).backbone is backbone and load_method(best, backbone).backbone is backbone


def test_a_method_runs_on_another_machine_than_that_of_its_training(best, tmp_path):
    place = Path(shutil.copytree(best, tmp_path / "from-a-gpu"))
    trained = json.loads((place / "method.json").read_text())["backbone"]
    with_card(place, backbone={**trained, "device": "cuda:3", "attn_implementation": "flex", "use_liger_kernel": True})
    there, here = load_method(place).backbone, load_method(best).backbone
    assert replace(there.config, device="cpu") == here.config and there.config.device == "auto"
    assert there.device == here.device


def test_a_folder_without_a_method_is_refused_with_what_one_looks_like(tmp_path):
    start = f"no trained method in {tmp_path / 'best'}; expected a folder with method.json, such as runs/NAME/best"
    assert not holds_method(tmp_path / "best")
    assert refusal(read_card, tmp_path / "best") == refusal(load_method, tmp_path / "best") == start
    (tmp_path / ".best.old").mkdir()
    assert holds_method(tmp_path / "best")
    killed = "A training was killed while it saved; the same command puts the folder back."
    assert refusal(read_card, tmp_path / "best") == f"{start}. {killed}"


def test_a_method_of_which_any_file_changed_is_refused(best, tmp_path):
    names = sorted(path.name for path in best.iterdir() if path.name not in ("method.json", "README.md"))
    assert "adapter_model.safetensors" in names and "adapter_config.json" in names
    for name in names:
        folder = shutil.copytree(best, tmp_path / name)
        data = bytearray((folder / name).read_bytes())
        if name.endswith(".json"):
            data += b"\n"  # JSON as before
        else:
            data[-4] ^= 1  # the last bit of one weight, which stays finite
        (folder / name).write_bytes(bytes(data))
        found = f"found another {name}; expected each file unchanged. {AGAIN}"
        assert refusal(load_method, folder) == f"{folder}: the files are not those that were saved; {found}"


def test_the_card_of_another_training_is_refused(best, tmp_path):
    method = load_method(best)
    with torch.no_grad():
        next(iter(method.learned().values())).add_(1)
    save_method(method, CONFIG, tmp_path / "other")
    mixed = shutil.copytree(best, tmp_path / "mixed")
    shutil.copy(tmp_path / "other" / "method.json", mixed / "method.json")
    assert "found another adapter_model.safetensors" in refusal(load_method, mixed)


def test_a_method_without_a_record_of_its_files_is_refused(best, tmp_path):
    folder = with_card(shutil.copytree(best, tmp_path / "old"), files=None)
    expected = 'expected "files" in method.json, as metaicl train writes it'
    assert refusal(load_method, folder) == f"{folder}: no record of the files that were saved; {expected}. {AGAIN}"


def test_the_text_for_people_may_be_edited(best, tmp_path):
    folder = shutil.copytree(best, tmp_path / "edited")
    (folder / "README.md").write_text("mine")
    assert load_method(folder).learned().keys() == load_method(best).learned().keys()


def test_a_folder_with_a_card_holds_a_method(best):
    assert holds_method(best)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("{}", "'backbone' is missing"),
        ('{"backbone": {}, "format": {}}', "'name' is missing"),
        ('{"backbone": {}, "format": {}, "name": "icl", "options": {}}', "'base' is missing"),
        (
            '{"backbone": {}, "format": []}',
            "task_suites.formats.prompt_format.PromptFormat() argument after ** must be a mapping, not list",
        ),
        ("[]", "list indices must be integers or slices, not str"),
    ],
)
def test_a_card_that_cannot_be_read_is_refused_with_its_place_and_the_reason(tmp_path, text, why):
    (tmp_path / "method.json").write_text(text)
    assert refusal(read_card, tmp_path) == f"{tmp_path / 'method.json'}: not a saved method: {why}. {PUT_BACK}"


@pytest.mark.parametrize(
    ("card", "why"),
    [
        ("[]", "'list' object has no attribute 'get'"),
        (
            '{"training": {"run": 1}}',
            "Training.__init__() missing 2 required positional arguments: 'data' and 'trained_on'",
        ),
    ],
)
def test_a_record_of_the_training_that_cannot_be_read_is_refused(tmp_path, card, why):
    (tmp_path / "method.json").write_text(card)
    assert refusal(read_training, tmp_path) == f"{tmp_path / 'method.json'}: not a saved method: {why}. {PUT_BACK}"


def test_what_a_method_was_trained_on_is_read_back_and_may_be_unknown(best, tmp_path):
    assert read_training(best) is None
    training = Training({"method": "metaicl"}, {"a": {}, "b": {}}, {"a": {}})
    assert read_training(save(tmp_path / "best", training=training)) == training


def test_a_card_that_is_no_text_or_is_gone_is_refused(tmp_path):
    missing = f"{tmp_path / 'method.json'}: not a saved method: [Errno 2] No such file or directory"
    assert refusal(read_training, tmp_path).startswith(missing)
    (tmp_path / "method.json").write_bytes(b"\xff\xfe")
    assert refusal(read_card, tmp_path).startswith(f"{tmp_path / 'method.json'}: not a saved method: 'utf-8' codec")


def test_another_base_model_is_refused_with_what_differs(tmp_path):
    base = {"model_type": "llama", "hidden_size": 48, "num_hidden_layers": 2, "vocab_size": 99}
    folder = with_card(save(tmp_path / "best"), base=base)
    ending = (
        "found hidden_size 32, vocab_size 257; expected hidden_size 48, vocab_size 99. "
        "Give the base model that it was trained on."
    )
    name = "tiny-random"
    assert (
        refusal(load_method, folder) == f"the checkpoint in {folder} was trained on another model than {name}; {ending}"
    )


def test_a_base_model_is_taken_from_the_place_that_is_written_into_the_card(best, tmp_path):
    folder = save(tmp_path / "best")
    backbone = json.loads((folder / "method.json").read_text())["backbone"]
    gone = with_card(folder, backbone={**backbone, "model": "/gone"})
    message = f"the base model of the method in {folder} is not there; found no folder /gone. Put it back, or write the"
    assert refusal(load_method, gone).startswith(message)
    found, expected = load_method(with_card(folder, backbone=backbone)).learned(), load_method(best).learned()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_file_of_adapters_beside_a_method_that_learns_none_is_refused(best, tmp_path):
    config = MethodConfig("protonet", {}, tiny_config(lora_r=None), PromptFormat())
    method = config.build()
    save_method(method, config, tmp_path / "proto")
    (tmp_path / "proto" / "adapter_model.safetensors").write_bytes((best / "adapter_model.safetensors").read_bytes())
    assert refusal(load_weights, method, tmp_path / "proto") == (
        f"the method learns no adapters, but there is a file of them in {tmp_path / 'proto'}; "
        f"found adapter_model.safetensors. {AGAIN}"
    )


def test_a_whole_model_is_saved_as_one_that_needs_no_other(tmp_path):
    config = MethodConfig("metaicl", {}, tiny_config(weights="full", lora_r=None), PromptFormat())
    method = config.build()
    with torch.no_grad():
        for p in method.learned().values():
            p.add_(0.01)
    save_method(method, config, tmp_path / "best")
    card = json.loads((tmp_path / "best" / "method.json").read_text())
    with_card(tmp_path / "best", backbone={**card["backbone"], "model": "gone"})  # its own weights are the model's
    again = load_method(tmp_path / "best")
    assert all(torch.equal(p, again.learned()[name]) for name, p in method.learned().items())
    assert again.backbone.encode("abc") == method.backbone.encode("abc")
    assert {"model.safetensors", "tokenizer.json", "method.json"} <= {p.name for p in (tmp_path / "best").iterdir()}


def test_adapters_over_a_base_model_whose_weights_changed_are_refused_until_they_are_put_back(tmp_path):
    base = tmp_path / "base"
    tiny_model().save_pretrained(base)
    tiny_tokenizer().save_pretrained(base)
    config = MethodConfig("metaicl", {}, tiny_config(model=str(base)), PromptFormat())
    known = {f"model.{kind}": value for kind, value in model_identity(config.backbone).items()}
    save_method(config.build(), config, tmp_path / "best", Training(known, {}, {}))
    load_method(tmp_path / "best")
    tiny_model(seed=1).save_pretrained(base)
    with pytest.raises(UserError, match=r"is not the one that the method in .* Put the base model's files back"):
        load_method(tmp_path / "best")
    tiny_model().save_pretrained(base)
    load_method(tmp_path / "best")
