"""`PromptFormat`: examples as text segments with roles, before any tokenizer.

A prompt is the text of its segments, one after the other; it is encoded as one text (metaicl/lm/text_encoder.py).
Separators and the leading blank of an answer belong to the format:

    direct     <input>\\nAnswer: <output>\\n\\n  ...  <input>\\nAnswer:| <option>           scored: the option
    channel    <output>\\n <input>\\n\\n         ...  <option>\\n| <input>                 scored: the input

Everything else that can differ is a field whose values are functions in a table of a neighbouring module: how the
instruction is given (`instructions`), whether options are shown and answered by letter (`choices`), which words stand
for labels (`label_words`), how tags are written (`tagging`), templates (`templates`), and the tokenizer's chat template
(`chat`). Options, answers and truth stay the task's own throughout: a format changes what a prompt shows for them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

from task_suites.core.errors import UserError, nearest
from task_suites.core.idle import refuse_idle
from task_suites.core.ranges import Natural, Whole, check_ranges
from task_suites.example import Example
from task_suites.formats.bound import UNBOUND, Bound
from task_suites.formats.chat import ChatTemplate, cut_chat
from task_suites.formats.choices import CHOICES, letter_names, listed
from task_suites.formats.instructions import definition, line
from task_suites.formats.label_words import LABEL_WORDS, check_distinct, drawn_words, verbalized
from task_suites.formats.presets import fields_of
from task_suites.formats.segments import Segment
from task_suites.formats.tagging import STOP, TAGGING, list_spans, rename
from task_suites.formats.templates import choose_template
from task_suites.task import Task


@dataclass(frozen=True)
class PromptFormat:
    """How examples become prompts.

    Attributes:
        channel: score the input given the answer (Min et al. 2022, arXiv 2108.04106) instead of the answer given the
            input; only for examples with options. Unset: what the method needs, else false.
        instruction: begin with the task's instruction. Unset: what the method needs, else false.
        answer: what stands between an input and its answer in the direct format.
        separator: what ends a demonstration.
        target: `package.module:Name` of a subclass of one's own, built with the same attributes; empty for this class.
        instruction_style: "line", or "definition" with positive and negative examples as Super-NaturalInstructions has
            them.
        positive: the largest number of positive examples that a definition shows.
        negative: the largest number of negative examples that a definition shows.
        explanations: give the explanations of the definition's examples.
        choices: "text" scores the options' text; "listed" shows them in the question too; "letters" shows them with
            letters, and the letter is the answer.
        verbalizer: words for labels or for types of tags, `label: word`; or of one task, `task: {label: word}`.
        label_words: "own"; "arbitrary" words, "random" strings or the "shuffled" labels, drawn by (seed, task).
        tagging: tags as text: the "spans" listed, or the sentence with spans marked "inline".
        templates: Jinja templates `question ||| {{ answer }}` by name; or of one task, `task: {name: template}`.
        template: the name of the template to take; empty draws one for each task.
        chat: give instruction, inputs and answers as a conversation by the tokenizer's chat template.
        seed: seeds the draws of label words and templates.

    Raises:
        UserError: an unknown value, or fields that do not go together.
    """

    channel: bool | None = None
    instruction: bool | None = None
    answer: str = "\nAnswer:"
    separator: str = "\n\n"
    target: str = ""
    instruction_style: str = "line"
    positive: Natural = 2
    negative: Natural = 2
    explanations: bool = False
    choices: str = "text"
    verbalizer: dict[str, Any] = field(default_factory=dict)
    label_words: str = "own"
    tagging: str = "spans"
    templates: dict[str, Any] = field(default_factory=dict)
    template: str = ""
    chat: bool = False
    seed: Whole = 0

    # Set by `of` on a copy; not a field, so that it is not part of a config, a checkpoint's card or a comparison.
    bound: ClassVar[Bound | None] = None

    named = staticmethod(fields_of)  # by which a configuration reads the name of a format

    def __post_init__(self) -> None:
        check_ranges(self, "format.")
        for name, known in (
            ("instruction_style", INSTRUCTIONS),
            ("choices", CHOICES),
            ("label_words", LABEL_WORDS),
            ("tagging", TAGGING),
        ):
            if getattr(self, name) not in known:
                raise UserError(
                    f"unknown format.{name} {getattr(self, name)!r}", fix=nearest(getattr(self, name), known)
                )
        for first, second, both in (
            ("channel", "chat", self.channel and self.chat),
            ("verbalizer", "label_words", bool(self.verbalizer) and self.label_words != "own"),
        ):
            if both:
                raise UserError(f"format.{first} and format.{second} do not go together", fix="Take one of the two.")
        if self.template and not self.templates:
            fix = "Define it under format.templates, or leave format.template out."
            raise UserError(f"no template {self.template!r}", where="format.templates", found="no templates", fix=fix)

    def resolved(self) -> PromptFormat:
        """Return the format with a value for each field that is unset."""
        return replace(self, channel=bool(self.channel), instruction=bool(self.instruction))

    def check_idle(self) -> None:
        """Raise where a field was given that nothing reads.

        Raises:
            UserError: names the field.
        """
        drawn = self.label_words != "own" or bool(self.templates and not self.template)
        direct = not (self.channel or self.templates or self.chat)
        described = bool(self.instruction) and self.instruction_style == "definition"
        for names, needs, used in (
            (["instruction_style"], "format.instruction", bool(self.instruction)),
            (["positive", "negative", "explanations"], "an instruction in the style definition", described),
            (["answer"], "the direct format (no channel, template or chat)", direct),
            (["seed"], "drawn label words or templates", drawn or bool(self.target)),
        ):
            refuse_idle(self, names, needs, "format.", used)

    def subclassed(self) -> PromptFormat:
        """Return the format itself, or the one that `target` names.

        Raises:
            UserError: `target` names no subclass of `PromptFormat`.
        """
        if not self.target or type(self) is not PromptFormat:
            return self
        from task_suites.sources import load_named

        cls = load_named(self.target)
        if not (isinstance(cls, type) and issubclass(cls, PromptFormat)):
            raise UserError(f"{self.target} is not a PromptFormat", expected="a subclass of metaicl.PromptFormat")
        return cls(**{f.name: getattr(self, f.name) for f in fields(PromptFormat)})

    def of(self, task: Task, chat: ChatTemplate | None = None) -> PromptFormat:
        """Return the format for one task: with its words, its template, and the pieces of the tokenizer's chat
        template.

        Args:
            chat: renders a conversation (`tokenizer.apply_chat_template`); needed where the format is a chat.

        Raises:
            UserError: words, templates or the chat template do not do for the task.
        """
        if not self._needs_task or (self.bound is not None and self.bound.task is task):
            return self
        words = verbalized(self.verbalizer, task) if self.verbalizer else drawn_words(self.label_words, task, self.seed)
        template = choose_template(self.templates, self.template, task, self.seed) if self.templates else None
        if template and self.choices != "text" and not template.uses & {"choices", "letters", "options"}:
            raise UserError(
                f"template {template.name} does not show the options",
                where=f"task {task.name}",
                expected=f"{{{{ choices }}}} in it, as format.choices is {self.choices}",
            )
        pieces = None
        if self.chat and chat is None:
            raise UserError("a chat format needs a tokenizer's chat template", fix="Name a model.")
        if self.chat and chat is not None:
            pieces = cut_chat(chat, bool(self._instruction(task)), self.separator)
        copied = copy.copy(self)
        object.__setattr__(copied, "bound", Bound(task, words, template, pieces))
        return copied

    def opening(self, task: Task) -> list[Segment]:
        """Return the segments before the first demonstration."""
        text = self._instruction(task)
        if pieces := self._bound.chat:
            text = pieces.opening(text.strip())
        return [Segment("instruction", text)] if text else []

    def demonstration(self, example: Example) -> list[Segment]:
        """Return an answered example as segments; `scored` marks the one that is supervised where demonstrations
        are."""
        answer, question = self._answer(self.written(example)), self._question(example)
        if pieces := self._bound.chat:
            turn = [Segment("demo_input", pieces.turn)] if pieces.turn else []
            return [
                Segment("demo_input", f"{question}{pieces.gap}"),
                Segment("demo_output", f"{pieces.lead}{answer}{pieces.end}", scored=True),
                *turn,
            ]
        if self.channel:
            return [
                Segment("demo_output", f"{answer}\n"),
                Segment("demo_input", f" {question}{self.separator}", scored=True),
            ]
        return [
            Segment("demo_input", question),
            Segment("demo_output", f"{_blank(question)}{answer}{self.separator}", scored=True),
        ]

    def branch(self, query: Example, answer: str) -> list[Segment]:
        """Return what follows the demonstrations for one query and one candidate answer; exactly one segment is
        scored."""
        stop = STOP if query.options is None and answer.endswith(STOP) else ""
        text = self._answer(self._shown(answer.removesuffix(stop), query))
        if pieces := self._bound.chat:
            end = (pieces.end or STOP) if stop else ""
            return [self.question(query), Segment("option", f"{pieces.lead}{text}{end}", scored=True)]
        if self.channel:
            return [Segment("option", f"{text}{stop}\n"), Segment("query", f" {self._question(query)}", scored=True)]
        question = self.question(query)
        return [question, Segment("option", f"{_blank(question.text)}{text}{stop}", scored=True)]

    def question(self, query: Example) -> Segment:
        """Return the query by itself, where an answer is to be generated.

        Raises:
            UserError: the format is channel, which cannot generate.
        """
        if self.channel:
            raise UserError("a channel prompt cannot generate", fix="Use the direct format for tagging and free text.")
        pieces = self._bound.chat
        return Segment("query", self._question(query) + (pieces.ask if pieces else ""))

    def targets(self, example: Example) -> list[str]:
        """Return the candidate answers of an example: its options, else the one right answer (ended by a line
        break)."""
        if example.options is not None:
            return list(example.options)
        return [self.written(example) + STOP]

    def written(self, example: Example) -> str:
        """Return the right answer as a prompt shows it: an option by its word or letter, tags as text."""
        if example.tokens is None:
            return self._shown(self.answer_text(example), example)
        words = self._bound.words
        if self.tagging == "spans" and not words:
            return self.answer_text(example)
        assert example.tags is not None, "the example is hidden"
        return TAGGING[self.tagging][0](example.tokens, rename(example.tags, words))

    def read(self, text: str) -> str:
        """Return the answer in generated text, without what the format puts around answers."""
        bound = self._bound
        if bound.chat and (end := bound.chat.end.strip()):
            text = text.split(end)[0].strip()
        return bound.template.read(text) if bound.template else text

    def read_tags(self, text: str, tokens: Sequence[str]) -> tuple[str, ...]:
        """BIO tags of a sentence from a generated answer (`read`)."""
        labels = {word: label for label, word in self._bound.words.items()}
        return rename(TAGGING[self.tagging][1](text, tokens), labels)

    @staticmethod
    def answer_text(example: Example) -> str:
        """Return the answer as plain text; spans of a tagged sentence as `words = type; words = type`."""
        if example.tokens is None:
            assert example.output is not None, "the example is hidden"
            return example.output
        assert example.tags is not None, "the example is hidden"
        return list_spans(example.tokens, example.tags)

    @property
    def _bound(self) -> Bound:
        """What `of` bound; nothing at all for a format that needs no task."""
        if self.bound is not None:
            return self.bound
        assert not self._needs_task, "this format depends on the task: call of(task) first"
        return UNBOUND

    @property
    def _needs_task(self) -> bool:
        return bool(self.verbalizer or self.label_words != "own" or self.templates or self.chat)

    def _instruction(self, task: Task) -> str:
        return INSTRUCTIONS[self.instruction_style](task, self) if self.instruction else ""

    def _question(self, example: Example) -> str:
        """Return the input with its options where they are shown, and in the direct format the sign for the answer."""
        words = self._words(example)
        listing, answers = CHOICES[self.choices](words) if words else ("", [])
        bound = self._bound
        if bound.template:
            text = bound.template.question(
                input=example.text,
                options=words,
                letters=answers if self.choices == "letters" else letter_names(len(words)),
                choices=(listing or listed(words)[0]).removeprefix("\n") if words else "",
                instruction=bound.task.instruction,
                task=bound.task.name,
            )
        else:
            text = f"{example.text}{listing}" + ("" if self.channel or bound.chat else self.answer)
        return text.strip() if bound.chat else text

    def _answer(self, shown: str) -> str:
        """Return an answer as shown, with what the template puts around it."""
        template, chat = self._bound.template, self._bound.chat
        text = template.answer(shown) if template else shown
        return text.strip() if chat else text

    def _shown(self, answer: str, example: Example) -> str:
        """Return an option by its word or letter; what is not an option of the example stays."""
        if example.options is None or answer not in example.options:
            return answer
        shown = CHOICES[self.choices](self._words(example))[1]
        return shown[example.options.index(answer)]

    def _words(self, example: Example) -> list[str]:
        """Return the options by their words."""
        options, words = list(example.options or ()), self._bound.words
        if not words:
            return options
        shown = [words.get(option, option) for option in options]
        check_distinct(shown, f"task {self._bound.task.name}, {example.text[:40]!r}")
        return shown


INSTRUCTIONS: dict[str, Callable[[Task, PromptFormat], str]] = {
    "line": lambda task, form: line(task, form.separator),
    "definition": lambda task, form: definition(task, form.positive, form.negative, form.explanations),
}


def preset(name: str, **changes: Any) -> PromptFormat:
    """Return the format of a name in `task_suites.formats.presets`, with fields changed.

    Raises:
        UserError: an unknown name.
    """
    return PromptFormat(**{**fields_of(name), **changes})


def _blank(question: str) -> str:
    """Return what parts a question from its answer: a blank, or nothing after a line break."""
    return "" if question.endswith("\n") else " "
