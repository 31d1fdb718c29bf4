"""What methods that adapt the backbone's weights to a task do with them, by the form of its examples.

Texts and options are answered by the prompt's likelihood, without demonstrations or (`in_context`) after them. Words
are tagged by the nearest class mean of the demonstrations' word vectors, all by the adapted weights, which do more for
tags than tags generated as text (docs/experiments.md); the inner loss compares each sentence's words with the means of
the other sentences (each word would be nearest to a mean that it is part of). In a prompt tags are text.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone, Params
from metaicl.methods.in_context.answer_loss import Objective
from metaicl.methods.in_context.icl import InContext
from metaicl.methods.in_context.items import item_labels
from metaicl.methods.metric.embedding import ABSENT, EmbeddingMethod, EmbeddingPredictor
from metaicl.methods.metric.protonet import class_means, euclidean
from metaicl.methods.predictor import Predictor
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task

SCALE = 30.0  # of squared distances, as prototypical networks start with


class AdaptedModel:
    """The losses and the answers of a task's own weights.

    Args:
        in_context: keep the demonstrations in the prompt.
        objective: as in `InContext`, for texts and options; demonstrations in a prompt have their likelihood.
    """

    def __init__(self, backbone: Backbone, form: PromptFormat, in_context: bool, objective: Objective):
        self.in_context = in_context
        self.prompts = InContext(backbone, form, InContext.Config(demonstrations=in_context, objective=objective))
        self.words = None if in_context else WordClasses(backbone, form, WordClasses.Config())
        self.serves = self.prompts.serves

    def refusal(self, task: Task) -> str | None:
        """Why these weights cannot serve a task, or None where they can."""
        return self.words.blind() if self.words and task.form == "tags" else None

    def longest(self, task: Task, support: Sequence[Example], queries: Sequence[Example]) -> int:
        """Tokens of the longest sequence that losses and answers run (`Method.longest`)."""
        if self.words and task.form == "tags":
            return self.words.longest(task, support, queries)
        shown, asked = (support, queries) if self.in_context else ((), (*support, *queries))
        return self.prompts.longest(task, shown, asked)

    def support_loss(self, task: Task, support: Sequence[Example], params: Params) -> tuple[Tensor, Tensor]:
        """Return (inner loss sum, its weight): supervised tokens, queries or words."""
        if self.words and support[0].form == "tags":
            return self.words.support_loss(support, params)
        if self.in_context:
            return self.prompts.demonstration_loss(task, support, params)
        return self.prompts.loss([(task, (), support)], params)

    def query_loss(
        self, task: Task, support: Sequence[Example], queries: Sequence[Example], params: Params | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (loss sum, weight) of the queries' answers by these weights; the backbone's own where there are
        none."""
        if self.words and queries[0].form == "tags":
            return self.words.query_loss(task, support, queries, params)
        return self.prompts.loss([(task, support if self.in_context else (), queries)], params)

    def predictor(self, task: Task, support: Sequence[Example], params: Params) -> Predictor:
        """Return what answers with these weights."""
        if self.words and task.form == "tags":
            return EmbeddingPredictor(self.words, support, self.words.classes(support), params)
        return self.prompts.predictor(task, support, params)


class WordClasses(EmbeddingMethod):
    """The nearest class mean of word vectors, by squared distance."""

    meta_trained = False

    def blind(self) -> str | None:
        """Why no learned weight moves a word's vector, if so."""
        lowest = self.backbone.lower.count
        if self.embed.layer > lowest:
            return None
        return f"words are read at layer {self.embed.layer}, adapters begin at {lowest + 1}; raise lora_layers"

    def logits(self, shots: Tensor, labels: Tensor, queries: Tensor, classes: int) -> Tensor:
        return -SCALE * euclidean(queries, class_means(shots, labels, classes))

    def support_loss(self, support: Sequence[Example], params: Params) -> tuple[Tensor, Tensor]:
        """Return (cross-entropy sum, words) of each sentence's words against the class means of the other sentences.
        A word whose class no other sentence has does not count: a single sentence teaches nothing."""
        names, answers = self.classes(support), item_labels(support)
        vectors = self.embed(support, params)
        labels = torch.tensor([names.index(a) for a in answers], device=vectors.device)
        member = nn.functional.one_hot(labels, len(names)).to(vectors.dtype)
        sums, counts = member.T @ vectors, member.sum(0)
        losses = [0.0 * vectors.sum()]
        weight, start = 0, 0
        for example in support:
            mine = slice(start, start := start + len(example.tokens or ()))
            others = counts - member[mine].sum(0)
            means = (sums - member[mine].T @ vectors[mine]) / others.clamp(min=1)[:, None]
            logits = (-SCALE * euclidean(vectors[mine], means)).masked_fill(others == 0, ABSENT)
            known = others[labels[mine]] > 0
            losses.append(nn.functional.cross_entropy(logits[known], labels[mine][known], reduction="sum"))
            weight += int(known.sum())
        return torch.stack(losses).sum(), torch.tensor(float(max(1, weight)), device=vectors.device)
