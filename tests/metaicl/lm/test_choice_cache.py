"""What was found when a model was checked is kept for exactly that model; anything else at its path is ignored."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from backbones import tiny_config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples
from metaicl.lm import choice_cache
from metaicl.lm.attention import selection
from metaicl.lm.backbone import Backbone
from metaicl.lm.choice import Choice, Fallback
from metaicl.lm.choice_cache import Entry, entry
from metaicl.lm.tiny import tiny_model

pytestmark = pytest.mark.usefixtures("a_check_at_each_loading")
CHOICE = Choice("dense", True, False, (Fallback("tree", "it is so"), Fallback("last network", "is »absent«")))


@pytest.fixture
def checks(monkeypatch) -> list[Backbone]:
    """The backbones that are checked from here on."""
    made: list[Backbone] = []
    choose = selection.choose

    def counted(backbone: Backbone) -> Choice:
        made.append(backbone)
        return choose(backbone)

    monkeypatch.setattr(selection, "choose", counted)
    return made


def config(folder: Path, **changes: object):
    return tiny_config(model=str(folder), device="cpu", **{"weights": "frozen", **changes})


def entries(folder: Path) -> list[Path]:
    return sorted((folder.parent / "cache" / "checks").iterdir())


def touched(folder: Path) -> None:
    path = folder / "model.safetensors"
    os.utime(path, ns=(1, 1))


def other_weights(folder: Path) -> None:
    tiny_model(seed=1, width=64).save_pretrained(folder)


def other_tokenizer_settings(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(path.read_text() + "\n")


def test_a_model_is_checked_once_and_the_answers_stay_the_same(folder, checks):
    first, again = Backbone.load(config(folder)), Backbone.load(config(folder))
    assert checks == [first] and len(entries(folder)) == 1
    assert again.tokens_run == 0 and again.choice == first.choice
    assert torch.equal(first.plain_logits([5, 6, 7]), again.plain_logits([5, 6, 7]))


@pytest.mark.parametrize("change", [touched, other_weights, other_tokenizer_settings])
def test_a_changed_folder_is_checked_again(folder, checks, change):
    Backbone.load(config(folder))
    change(folder)
    Backbone.load(config(folder))
    assert len(checks) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": "lora"},
        {"weights": "full"},
        {"attn_implementation": "dense"},
        {"dtype": "bfloat16"},
        {"gradient_checkpointing": True},
    ],
    ids=lambda c: next(iter(c)) + "=" + str(next(iter(c.values()))),
)
def test_another_configuration_is_checked_again(folder, checks, changes):
    Backbone.load(config(folder))
    Backbone.load(config(folder, **changes))
    assert len(checks) == 2 and len(entries(folder)) == 2


@pytest.mark.parametrize("what", ["_code", "_processor", "importlib.metadata.version"])
def test_another_library_code_or_processor_is_checked_again(folder, checks, monkeypatch, what):
    Backbone.load(config(folder))
    monkeypatch.setattr(f"metaicl.lm.choice_cache.{what}", lambda *args: "another")
    Backbone.load(config(folder))
    assert len(checks) == 2


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(folder, checks):
    (folder.parent / "cache").write_text("a file where the folder belongs")
    assert Backbone.load(config(folder)).attention == Backbone.load(config(folder)).attention == "tree"
    assert len(checks) == 2


def test_a_model_without_files_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("METAICL_CACHE", str(tmp_path))
    Backbone.load(tiny_config(weights="frozen"))
    assert not any(tmp_path.iterdir())
    assert entry(tiny_config(), tiny_model(), "cpu").path is None


def test_a_damaged_entry_is_replaced(folder, checks):
    first = Backbone.load(config(folder))
    (path,) = entries(folder)
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    assert Backbone.load(config(folder)).choice == first.choice
    assert len(checks) == 2 and path.read_text() == whole


kept = Entry(Path("kept.json"), {"weights": ["a", 1], "dtype": "torch.float32"})


@settings(examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_an_entry_gives_the_kept_choice_or_none(tmp_path, data):
    """Cut, with bytes changed, with values exchanged: a choice is read only where it is a whole one of the same key."""
    one = replace(kept, path=tmp_path / "kept.json")
    one.path.unlink(missing_ok=True)  # a changed entry that reads as the same choice is not written again
    one.write(CHOICE)
    content = one.path.read_bytes()
    whole = json.loads(content)
    kind = data.draw(st.sampled_from(["cut", "bytes", "value", "anything"]))
    if kind == "cut":
        one.path.write_bytes(content[: data.draw(st.integers(0, len(content) - 3))])
    elif kind == "bytes":
        place = data.draw(st.integers(0, len(content) - 1))
        one.path.write_bytes(content[:place] + data.draw(st.binary(min_size=1, max_size=4)) + content[place + 1 :])
    else:
        value = data.draw(
            st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=3)
        )
        part = data.draw(st.sampled_from(["key", *whole["choice"]])) if kind == "value" else None
        if part is None:
            whole = value
        elif part == "key":
            whole["key"] = value
        else:
            whole["choice"][part] = value
        one.path.write_text(json.dumps(whole))
    found = one.read()
    assert found is None or isinstance(found, Choice)
    if found is not None:
        assert json.loads(one.path.read_text())["key"] == one.key
        assert found.attention in ("tree", "flex", "dense", "plain")
        assert isinstance(found.output_head, bool) and isinstance(found.last_network, bool)
        assert all(isinstance(f, Fallback) for f in found.fallbacks)
    one.write(CHOICE)
    assert one.read() == CHOICE


def test_the_key_has_what_the_check_depends_on(folder):
    key = entry(config(folder), tiny_model(), "cpu").key
    assert set(key) == {"weights", "backbone", "model", "dtype", "versions", "code", "processor"}
    assert set(key["versions"]) == set(choice_cache.LIBRARIES)
    assert torch.backends.cpu.get_cpu_capability() in key["processor"][0]
