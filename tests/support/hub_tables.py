"""Small tables with the columns, classes and splits that data sets of the Hugging Face hub have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NLI = ("entailment", "neutral", "contradiction")
NER = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC")
TEXT, WHOLE = Value("string"), Value("int64")
TEXTS = List(TEXT)
Columns = Mapping[str, tuple[Any, Callable[[int], Any]]]  # column -> its type, its cell in a row


def splits(columns: Columns, **sizes: int) -> DatasetDict:
    features = Features({name: kind for name, (kind, _) in columns.items()})
    start, made = 0, {}
    for split, size in sizes.items():
        rows = range(start, start + size)
        made[split] = Dataset.from_dict({n: [cell(i) for i in rows] for n, (_, cell) in columns.items()}, features)
        start += size
    return DatasetDict(made)


def said(what: str) -> tuple[Any, Callable[[int], str]]:
    return TEXT, lambda i: f"{what} number {i} says {'yes' if i % 2 else 'no'}."


def classes(names: Sequence[str]) -> tuple[Any, Callable[[int], int]]:
    return ClassLabel(names=list(names)), lambda i: i % len(names)


def options(*keys: str) -> tuple[Any, Callable[[int], Any]]:
    """The column `choices`, as several data sets of the Allen Institute have it."""
    kind = {"text": TEXTS, "label": TEXTS}
    return kind, lambda i: {"text": [f"choice {key} of {i}" for key in keys], "label": list(keys)}


def key(*keys: str) -> tuple[Any, Callable[[int], str]]:
    return TEXT, lambda i: keys[i % len(keys)]


def tokens() -> tuple[Any, Callable[[int], list[str]]]:
    return TEXTS, lambda i: ["Ann", "Lee", "met", f"Bo{i}", "."]


def tags(names: Sequence[str], *row: str) -> tuple[Any, Callable[[int], list[int]]]:
    return List(ClassLabel(names=list(names))), lambda i: [names.index(tag) for tag in row]


ID = {"idx": (Value("int32"), lambda i: i)}
MNLI = {"premise": said("Premise"), "hypothesis": said("Hypothesis"), "label": classes(NLI), **ID}
CONLL = {
    "id": (TEXT, str),
    "tokens": tokens(),
    "pos_tags": tags(('"', "NNP", "VBD", "."), "NNP", "NNP", "VBD", "NNP", "."),
    "chunk_tags": tags(("O", "B-NP", "I-NP", "B-VP"), "B-NP", "I-NP", "B-VP", "B-NP", "O"),
    "ner_tags": tags(NER, "B-PER", "I-PER", "O", "B-PER", "O"),
}
WNUT = ("O", "B-person", "I-person")
ARC = {
    "id": (TEXT, str),
    "question": said("Question"),
    "choices": options("A", "B", "C", "D"),
    "answerKey": key("A", "B", "C", "D"),
}
ALL = {"train": 24, "validation": 8, "test": 8}

TABLES: dict[tuple[str, str | None], Callable[[], DatasetDict]] = {
    # classification
    ("nyu-mll/glue", "mnli"): lambda: splits(
        MNLI, train=24, validation_matched=8, validation_mismatched=8, test_matched=8, test_mismatched=8
    ),
    ("nyu-mll/glue", "qnli"): lambda: splits(
        {
            "question": said("Question"),
            "sentence": said("Sentence"),
            "label": classes(("entailment", "not_entailment")),
            **ID,
        },
        **ALL,
    ),
    ("stanfordnlp/snli", None): lambda: splits(
        {
            "premise": said("Premise"),
            "hypothesis": said("Hypothesis"),
            "label": (ClassLabel(names=list(NLI)), lambda i: i % 4 - 1),
        },
        test=8,
        validation=8,
        train=24,
    ),
    ("fancyzhx/ag_news", None): lambda: splits(
        {"text": said("News"), "label": classes(("World", "Sports", "Business", "Sci/Tech"))}, train=24, test=8
    ),
    ("cornell-movie-review-data/rotten_tomatoes", None): lambda: splits(
        {"text": said("Review"), "label": classes(("neg", "pos"))}, **ALL
    ),
    ("aps/super_glue", "boolq"): lambda: splits(
        {"question": said("Question"), "passage": said("Passage"), **ID, "label": classes(("False", "True"))}, **ALL
    ),
    ("google-research-datasets/paws", "labeled_final"): lambda: splits(
        {
            "id": (Value("int32"), lambda i: i),
            "sentence1": said("One"),
            "sentence2": said("Two"),
            "label": classes("01"),
        },
        **ALL,
    ),
    ("ucirvine/sms_spam", None): lambda: splits({"sms": said("Message"), "label": classes(("ham", "spam"))}, train=40),
    ("tasksource/google_wellformed_query", None): lambda: splits(
        {"rating": (Value("float32"), lambda i: (0.0, 0.5, 1.0)[i % 3]), "content": said("Query")}, **ALL
    ),
    ("rajpurkar/squad_v2", None): lambda: splits(
        {
            **{name: said(name) for name in ("id", "title", "context", "question")},
            "answers": (
                {"text": TEXTS, "answer_start": List(Value("int32"))},
                lambda i: {"text": ["yes"] * (i % 2), "answer_start": [1] * (i % 2)},
            ),
        },
        train=24,
        validation=8,
    ),
    # multiple choice
    ("allenai/sciq", None): lambda: splits(
        {
            name: said(name)
            for name in ("question", "distractor3", "distractor1", "distractor2", "correct_answer", "support")
        },
        **ALL,
    ),
    ("tau/commonsense_qa", None): lambda: splits(
        {
            **{name: said(name) for name in ("id", "question", "question_concept")},
            "choices": options("A", "B", "C", "D", "E"),
            "answerKey": key("A", "B", "C", "D", "E"),
        },
        **ALL,
    ),
    ("allenai/ai2_arc", "ARC-Easy"): lambda: splits(ARC, **ALL),
    ("allenai/openbookqa", None): lambda: splits(
        {"question_stem" if name == "question" else name: column for name, column in ARC.items()}, **ALL
    ),
    ("allenai/winogrande", "winogrande_xl"): lambda: splits(
        {"sentence": said("_"), "option1": said("first"), "option2": said("second"), "answer": key("1", "2")}, **ALL
    ),
    ("Rowan/hellaswag", None): lambda: splits(
        {
            "ind": (Value("int32"), lambda i: i),
            **{name: said(name) for name in ("activity_label", "ctx_a", "ctx_b", "ctx", "source_id")},
            "endings": (TEXTS, lambda i: [f"ending {n} of {i}" for n in range(4)]),
            **{name: key(name) for name in ("split", "split_type")},
            "label": key("0", "1", "2", "3"),
        },
        **ALL,
    ),
    ("cambridgeltl/xcopa", "it"): lambda: splits(
        {
            "premise": said("Premessa"),
            "choice1": said("prima"),
            "choice2": said("seconda"),
            "question": key("cause", "effect"),
            "label": (Value("int32"), lambda i: i % 2),
            **ID,
            "changed": (Value("bool"), bool),
        },
        validation=24,
        test=8,
    ),
    # token labels
    ("tomaarsen/conll2003", None): lambda: splits(CONLL, **ALL),
    ("flaitenberger/wnut_17", None): lambda: splits(
        {"id": (TEXT, str), "tokens": tokens(), "ner_tags": tags(WNUT, "B-person", "I-person", "O", "B-person", "O")},
        **ALL,
    ),
    ("ncbi/ncbi_disease", None): lambda: splits(
        {
            "id": (TEXT, str),
            "tokens": tokens(),
            "ner_tags": tags(("O", "B-Disease", "I-Disease"), "O", "O", "O", "B-Disease", "O"),
        },
        **ALL,
    ),
    ("universal-dependencies/universal_dependencies", "pl_pdb"): lambda: splits(
        {
            **{name: said(name) for name in ("sent_id", "text")},
            "tokens": tokens(),
            "upos": (TEXTS, lambda i: ["PROPN", "PROPN", "VERB", "PROPN", "_"]),
        },
        **ALL,
    ),
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> list[tuple[Any, ...]]:
    """A hub that has these tables, an empty cache folder, and the list of what was downloaded."""
    import datasets
    import huggingface_hub

    downloaded: list[tuple[Any, ...]] = []

    def load_dataset(name: str, config: str | None = None, **given: Any) -> DatasetDict:
        downloaded.append((name, config, given))
        if (name, config) not in TABLES:
            raise ConnectionError(f"Couldn't reach {name!r} on the Hub")
        return TABLES[name, config]()

    def dataset_info(self: Any, name: str, revision: str | None = None, timeout: int = 0) -> SimpleNamespace:
        return SimpleNamespace(sha=COMMIT, card_data=None)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    monkeypatch.setenv("METAICL_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()
    return downloaded
