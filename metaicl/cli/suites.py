"""`metaicl suites`: what tasks there are, what a prompt looks like, what leaks, other sides of the split, exports."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from metaicl.cli.actions import check_action
from metaicl.cli.parser import Command
from metaicl.training.config import suite_section
from task_suites.core.errors import UserError, counted
from task_suites.core.flat import section
from task_suites.core.idle import refuse_idle
from task_suites.core.ranges import Natural, NonNegative, Whole, check_ranges
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import SuiteConfig, is_suite, open_suite
from task_suites.task import TaskSuite


@dataclass(frozen=True)
class Suites:
    """Show, check, split and export tasks: list, show TASK or SUITE, audit, split, export.

    Attributes:
        action: list: the tasks of a suite. show: a prompt of a task, or sources and fingerprints of a suite. audit:
            search for leaks (exit status 1 if there are any). split: divide the tasks into three sides, or into folds.
            export: write the suite in another layout.
        task: the name of a task or suite.
        suite: tasks
        k: demonstrations in the prompt.
        seed: seeds the draw of the episode or of the split.
        format: how examples become a prompt: a name (docs/formats.md), then fields such as chat=true.
        model: the model whose tokenizer is used, for --tokens and for a chat format.
        to: the layout to write: metaicl, lm-eval, datasets, local or arrow.
        output: the new folder for an export or for folds; the file for a split.
        json: print the audit as JSON.
        html: also write the audit as a page to this file.
        fix: write the suite without its leaks into this new folder.
        near: also search near duplicates, and inputs that contain another.
        context: count examples that are longer than this many words (or tokens, with --tokens), and demonstrations that
            fit; 0 counts none.
        tokens: show the prompt token by token; in an audit, count lengths in tokens.
        setting: audit only the names of tasks in a split file or a setting of MetaICL.
        by: what a split keeps on one side.
        shares: the fraction of tasks on each side.
        folds: write nested cross-validation instead of one split: OUTER INNER folds, such as 5 4.
        kind: choose tasks of tasksource by kind: classification, multiple_choice, tagging.
        language: choose tasks of tasksource by language: en, de, ...; mul is several at once.
        licence: choose tasks of tasksource by licence: commercial, non-commercial, unspecified, or the name of a
            licence.
    """

    action: str
    task: str = ""
    suite: SuiteConfig = suite_section()
    k: Natural = 4
    seed: Whole = 0
    format: PromptFormat = section(PromptFormat, whole=True)
    model: str = "smollm2-135m"
    to: str = ""
    output: Path | None = None
    json: bool = False
    html: Path | None = None
    fix: Path | None = None
    near: bool = True
    context: Natural = 0
    tokens: bool = False
    setting: str = ""
    by: Literal["task", "source", "family", "domain"] = "family"
    shares: dict[str, NonNegative] = field(
        default_factory=lambda: {"meta_train": 0.7, "meta_validation": 0.1, "meta_test": 0.2}
    )
    folds: list[Natural] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)
    language: list[str] = field(default_factory=list)
    licence: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_ranges(self)


def run(config: Suites) -> None:
    actions = {"list": run_list, "show": run_show, "audit": run_audit, "split": run_split, "export": run_export}
    check_action(config.action, actions)
    refuse_idle_of_action(config)
    if config.action == "audit" and config.setting:
        run_audit_of_names(config.setting)
    config = with_filters(with_suite_and_task(config))
    suite, left_out = with_data(config, config.suite.choose())
    suite, shortened = config.suite.shorten(suite)
    for note in filter(None, (left_out, shortened)):
        print(note, file=sys.stderr)
    actions[config.action](config, suite)


def with_data(config: Suites, suite: TaskSuite) -> tuple[TaskSuite, str | None]:
    """Return the suite, those tasks prepared whose examples the action reads, and a sentence on what is left out."""
    if config.action in ("list", "split"):
        return suite, None
    if config.action == "show" and config.task:
        return suite.replace_tasks(lambda task: task.needed() if task.name == config.task else task), None
    return suite.prepared()


READ_BY = {  # option -> the actions that read it
    **dict.fromkeys(("k", "format"), ("show",)),
    "to": ("export",),
    **dict.fromkeys(("json", "html", "fix", "near", "context", "setting"), ("audit",)),
    **dict.fromkeys(("by", "shares", "folds"), ("split",)),
    "output": ("export", "split"),
    "seed": ("show", "split"),
    "tokens": ("show", "audit"),
    "model": ("show", "audit"),
}


def refuse_idle_of_action(config: Suites) -> None:
    """Raise where an option was given that the action does not read."""
    for name, actions in READ_BY.items():
        refuse_idle(config, [name], f"the action {' or '.join(actions)}", used=config.action in actions)
    reads_model = config.tokens or (config.action == "show" and config.format.chat)
    refuse_idle(config, ["model"], "--tokens or a chat format", used=bool(reads_model))
    several = len(config.suite.names) > 1 or bool(config.suite.split) or config.action in ("audit", "split")
    refuse_idle(config.suite, ["allow"], "split_file, several suites, or an audit or split", used=several)
    refuse_idle(config, ["shares"], "one split (leave --folds out)", used=not config.folds)


def with_suite_and_task(config: Suites) -> Suites:
    """Return the configuration with the suite that `suites list NAME` means, and that `suites show NAME` means where
    the suite has no such task and there is a suite of that name."""
    default = SuiteConfig().names
    if not config.task or (config.action == "show" and config.suite.names != default):
        return config
    if config.action == "show" and (not is_suite(config.task) or config.task in open_suite(default[0]).tasks):
        return config
    if config.suite.names != default:
        found = f"{config.task} and {' '.join(config.suite.names)}"
        raise UserError("suites are named twice", found=found, fix="Name all of them after --suite.")
    return replace(config, task="", suite=replace(config.suite, names=[config.task]))


FILTERS = ("kind", "language", "licence")


def with_filters(config: Suites) -> Suites:
    """Return the configuration with the filters of the catalogue as options in the names of its suites.

    Raises:
        UserError: a filter is given, and no suite has a catalogue.
    """
    given = [f"{name}={','.join(values)}" for name in FILTERS if (values := getattr(config, name))]
    if not given:
        return config
    if not any(name.startswith("tasksource:") for name in config.suite.names):
        found = " ".join(config.suite.names)
        fix = "Choose tasks of other suites by --forms and --tasks."
        raise UserError(f"--{given[0].partition('=')[0]} works only with suites tasksource:...", found=found, fix=fix)
    query = "&".join(given)
    names = [
        f"{name}{'&' if '?' in name else '?'}{query}" if name.startswith("tasksource:") else name
        for name in config.suite.names
    ]
    return replace(config, suite=replace(config.suite, names=names))


def run_list(config: Suites, suite: TaskSuite) -> None:
    from task_suites.describe import list_tasks

    for task in suite.tasks.values():
        if task.suite.startswith("table:"):
            task.examples("train")  # a column that is not there is named now
    print(list_tasks(suite))
    _print_notes(suite)


def run_show(config: Suites, suite: TaskSuite) -> None:
    from task_suites.describe import show_prompt
    from task_suites.provenance import tree

    if not config.task:
        print(tree(suite))
        _print_notes(suite)
        return
    chat = _chat_template(config.model) if config.format.chat else None
    tokens = _token_reader(config.model) if config.tokens else None
    print(show_prompt(suite, config.task, config.k, config.seed, config.format.resolved(), chat, tokens))
    _print_notes(suite, [config.task])


def _print_notes(suite: TaskSuite, names: Sequence[str] = ()) -> None:
    """Say of which of these tasks, or of all, the labels seem to be forgotten."""
    from task_suites.describe import forgotten_labels

    for note in forgotten_labels(suite, names):
        print(f"note: {note}", file=sys.stderr)


def run_export(config: Suites, suite: TaskSuite) -> None:
    from task_suites.export import export_suite

    print(export_suite(suite, config.to, config.output))


def run_split(config: Suites, suite: TaskSuite) -> None:
    """Print one split as JSON, folds as a list, or write them to files."""
    from task_suites.split_files import write_splits
    from task_suites.split_rules import divide, nested

    if len(config.folds) not in (0, 2):
        fix = "Write the number of outer and of inner folds, such as --folds 5 4."
        raise UserError("--folds needs two numbers", found=config.folds, fix=fix)
    how: dict[str, Any] = {"by": config.by, "seed": config.seed, "allow": config.suite.allow}
    if config.folds:
        outer, inner = config.folds
        splits = nested(suite, outer, inner, **how)
    else:
        splits = [divide(suite, shares=config.shares, **how)]
    if config.output:
        print(write_splits(splits, config.output))
    else:
        values = [asdict(split) for split in splits]
        print(json.dumps(values if config.folds else values[0], ensure_ascii=False, indent=1))


def run_audit_of_names(setting: str) -> None:
    """Print what of a split's names lies on two sides; exit status 1 where something does."""
    from task_suites.audit.report import overlap_table
    from task_suites.split_files import load_split
    from task_suites.splits import overlaps

    found = overlaps(split := load_split(setting))
    print(overlap_table(split, found))
    sys.exit(1 if found else 0)


def run_audit(config: Suites, suite: TaskSuite) -> None:
    """Print the audit, write what was requested; exit status 1 where something leaks and nothing was fixed."""
    from task_suites.audit.fix import cleaned, write_fixed
    from task_suites.audit.report import table, write_page
    from task_suites.audit.run import audit_suite
    from task_suites.core.atomic import check_free

    if config.fix:
        check_free(config.fix)
    tokenizer = _tokenizer(config.model) if config.tokens else None
    length = (lambda text: len(tokenizer(text).input_ids)) if tokenizer else None
    settings: dict[str, Any] = {
        "context": config.context,
        "length": length,
        "near": config.near,
        "allow": config.suite.allow,
    }
    report = audit_suite(suite, **settings)
    print(json.dumps(report.to_json(), ensure_ascii=False) if config.json else table(report, suite))
    _print_notes(suite)
    if config.html:
        write_page(report, suite, config.html)
    if config.fix:
        fixed = cleaned(suite, report, **settings)
        write_fixed(fixed, config.fix)
        gone = counted(len(fixed.removed), "example") + (
            f" and the tasks {', '.join(fixed.dropped)}" if fixed.dropped else ""
        )
        print(f"{config.fix}: the suite without {gone} (removed.jsonl says which)", file=sys.stderr)
    elif not report.clean:
        sys.exit(1)


def _chat_template(model: str) -> Callable[..., Any]:
    return _tokenizer(model).apply_chat_template  # type: ignore[no-any-return]


def _token_reader(model: str) -> Callable[[str], list[tuple[str, int]]]:
    """Return a function from a text to its tokens as text, each with the character of the text at which it ends."""
    from metaicl.lm.text_encoder import TextEncoder

    encoder = TextEncoder(_tokenizer(model))

    def read(text: str) -> list[tuple[str, int]]:
        encoded = encoder.whole(text)
        names = encoder.tokenizer.convert_ids_to_tokens(list(encoded.ids))
        return list(zip(names, encoded.ends, strict=True))

    return read


def _tokenizer(model: str) -> Any:
    from transformers import AutoTokenizer

    from metaicl.lm import tiny
    from metaicl.lm.configuration import foundation
    from metaicl.lm.models import resolve

    if model == tiny.NAME:
        return tiny.tiny_tokenizer()
    try:
        return AutoTokenizer.from_pretrained(foundation(resolve(model))[0])
    except (OSError, ValueError) as error:
        fix = "Give --model a name of `metaicl models list`, a folder or a hub name."
        raise UserError(f"no tokenizer for {model!r}: {str(error).splitlines()[0]}", fix=fix) from None


EXAMPLES = """\
metaicl suites list my-suite
metaicl suites show kitchen_taste --k 4 --format letters
metaicl suites audit my-suite --html audit.html
metaicl suites split my-suite --by domain --output split.json
metaicl suites export my-suite --to lm-eval --output exported"""
GROUPS = {
    **{name: f"for {' and '.join(actions)}" for name, actions in READ_BY.items()},
    **dict.fromkeys(FILTERS, "for suites of tasksource"),
}
COMMAND = Command(Suites, run, EXAMPLES, ("action", "task"), GROUPS)
