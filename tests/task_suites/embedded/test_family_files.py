"""A family of tasks is one file, and each mistake in it is one error with its line."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_suites.core.errors import UserError
from task_suites.embedded import family_files
from task_suites.embedded.family_files import KINDS, read_families, read_family
from task_suites.sources.embedded import open_embedded

BAKERY = """\
side: meta_train
domain: bakery
lexicon:
  who: |
    {Ann|Bob|Cleo|Dora|Emil} {Baker|Miller|Reed|Stone}
    the {old|young|tall|new} {apprentice|master|cashier}
  bread:
    sweet: |
      {a bun|a tart|a waffle} / a slice of {plum|apple} cake
    salty: a pretzel with {much|little} salt / {two|three|six} rolls
  off: "{Monday|Tuesday|Friday|Sunday}"
templates:
  sales: |
    {who} sold {bread} to {who} on {off}.

    on {off}, {who} gave {bread} to {who} for nothing.
  goods: |
    {who} sold <GOODS:{bread}> to {who} on {off}.
  means: |
    on {off}, {who} says that {situation}. What should {who} do?
tasks:
  taste:
    kind: class
    slot: bread
    labels: {sweet: "on", salty: off}
    templates: [sales]
    instruction: What does it taste of?
    description: sweet and salty baking
  goods:
    kind: tags
    spans: [GOODS]
    templates: goods
    instruction: Mark the goods.
    description: what is sold
  sold:
    kind: span
    templates: goods
    instruction: Write down what was sold.
    description: what is sold
  mishap:
    kind: choice
    options: 2
    templates: means
    instruction: Choose what helps.
    description: mishaps in a bakery
    situations:
      - situation: the oven is {cold|out}
        ending: light it / call {who}
      - situation: there is no {flour|yeast|water}
        ending: buy some / shut the {shop|door} for today
"""


@pytest.fixture
def bakery(tmp_path: Path) -> Path:
    (tmp_path / "15-bakery.yaml").write_text(BAKERY, encoding="utf-8")
    return tmp_path


def test_a_new_family_is_one_file(bakery):
    suite = open_embedded(bakery)
    assert [task.name for task in suite.split("meta_train")] == [
        f"bakery_{name}" for name in ("taste", "goods", "sold", "mishap")
    ]
    assert [task.type for task in suite.tasks.values()] == [
        "classification",
        "tagging",
        "generation",
        "multiple_choice",
    ]
    taste, goods, sold, mishap = (task.examples("train")[:60] for task in suite.tasks.values())
    assert {example.output for example in taste} == {"on", "off"} == set(suite["bakery_taste"].labels)
    assert all("B-GOODS" in example.tags for example in goods)
    assert all(example.output in example.input for example in sold)
    assert {len(example.options) for example in mishap} == {2}


def test_the_examples_depend_on_the_name_of_a_family_not_on_its_number(bakery):
    first = open_embedded(bakery)
    (bakery / "15-bakery.yaml").rename(bakery / "bakery.yaml")
    open_embedded.cache_clear()
    assert open_embedded(bakery)["bakery_taste"].fingerprint() == first["bakery_taste"].fingerprint()


def test_kept_attempts_serve_the_file_that_they_were_found_for_only(tmp_path):
    [path] = family_files.FOLDER.glob("*-weather.yaml")
    lines = path.read_text(encoding="utf-8").replace("puddles|", "lakes|")
    (tmp_path / "weather.yaml").write_text(lines, encoding="utf-8")
    task, other = open_embedded(tmp_path)["weather_sky"], open_embedded()["weather_sky"]
    assert task.fingerprint() != other.fingerprint()
    assert len(task.examples("train")) == len(other.examples("train"))


@pytest.mark.parametrize(
    ("before", "after", "line", "said"),
    [
        ("side: meta_train", "side: train", 1, "side must be meta_train, meta_validation or meta_test, but is 'train'"),
        ("domain: bakery", "domane: bakery", 2, "unknown key 'domane'. Did you mean domain?"),
        ("domain: bakery\n", "", 1, "the file lacks domain"),
        ("domain: bakery", "domain:", 2, "domain must be text; found nothing"),
        ("{Ann|Bob", "{Ann|Bob}", 5, "braces do not match"),
        ("{who} gave", "{whom} gave", 16, "no lexicon entry 'whom'"),
        ("{who} gave", "{{who}} gave", 16, "no lexicon entry"),
        ("gave {bread}", "gave {situation}", 16, "no lexicon entry 'situation'"),
        ("<GOODS:{bread}>", "<GOODS:{bread}", 18, "a mark must read <TYPE:...>"),
        ("<GOODS:{bread}>", "<goods:{bread}>", 18, "a mark must read <TYPE:...>"),
        ("kind: class", "kind: clas", 23, "must be class, choice, tags or span, but is 'clas'. Did you mean class"),
        ("    kind: class\n", "", 22, "tasks.taste lacks kind"),
        ("    slot: bread\n", "", 22, "tasks.taste lacks slot"),
        ("slot: bread", "slot: who", 24, "must be one of the entries of `lexicon` that have classes, but is 'who'"),
        ("slot: bread", "slots: bread", 24, "unknown key 'tasks.taste.slots'"),
        ("slot: bread", "slot: [bread]", 24, "tasks.taste.slot must be text; found a list of 1"),
        ('sweet: "on"', 'sweat: "on"', 25, "bread has no class 'sweat'"),
        ("salty: off}", 'salty: "on"}', 25, "at least two different labels"),
        ("[sales]", "[sale]", 26, "tasks.taste.templates[0] must be one of `templates`, but is 'sale'"),
        ("[sales]", "[goods]", 13, "no task uses templates.sales"),
        ("kind: span\n", "kind: span\n    type: tagging\n", 37, "tasks.sold.type must be generation, but is 'tagging'"),
        ("spans: [GOODS]", "spans: [GOOD]", 31, "must be one of the types marked <TYPE:...>, but is 'GOOD'"),
        ("options: 2", "options: 3", 42, "must be a whole number from 2 to 2, but is '3'"),
        ("the oven is {cold|out}", "the oven is {bold}", 47, "no lexicon entry 'bold'"),
        ("        ending: light it / call {who}\n", "", 47, "lacks ending"),
        ("  taste:\n", "  mishap:\n", 40, "key 'mishap' occurs twice"),
        ("domain: bakery", "domain: [", 4, "not readable as YAML"),
    ],
)
def test_a_mistake_is_one_error_with_its_line(tmp_path, before, after, line, said):
    path = tmp_path / "bakery.yaml"
    assert before in BAKERY
    path.write_text(BAKERY.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_family(path)
    assert str(error.value).startswith(f"{path}:{line}: "), error.value
    assert said in str(error.value)


@given(
    st.integers(0, BAKERY.count("\n") - 1), st.sampled_from(["delete", "double", "{", "}", "<", ":", "- ", "  x: 1"])
)
def test_no_damage_gives_anything_but_an_error_with_the_file_or_a_family_that_draws(tmp_path_factory, number, damage):
    lines = BAKERY.splitlines()
    changed = {"delete": [], "double": [lines[number]] * 2}.get(damage, [lines[number] + damage])
    path = tmp_path_factory.mktemp("damaged") / "bakery.yaml"
    path.write_text("\n".join([*lines[:number], *changed, *lines[number + 1 :]]) + "\n", encoding="utf-8")
    try:
        family = read_family(path)
    except UserError as error:
        assert str(path) in str(error)
        return
    for blueprint in family.blueprints:
        for seed in range(20):
            example = blueprint.draw(random.Random(seed))
            assert example.text


def test_names_of_files_say_the_family(bakery):
    (bakery / "bakery.yaml").write_text(BAKERY, encoding="utf-8")
    with pytest.raises(UserError, match=r"bakery\.yaml: a second family named 'bakery'"):
        read_families(bakery)
    (bakery / "bakery.yaml").rename(bakery / "My Bakery.yaml")
    with pytest.raises(UserError, match=r"must be NAME\.yaml"):
        read_families(bakery)


def test_a_folder_without_families_is_refused(tmp_path):
    with pytest.raises(UserError, match="no family of tasks"):
        read_families(tmp_path)


def test_the_built_in_families_show_every_kind_and_type():
    types = {blueprint.type for family in read_families() for blueprint in family.blueprints}
    assert types == {type for kind in KINDS.values() for type in kind.types}
