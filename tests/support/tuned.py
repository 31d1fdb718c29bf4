"""Methods that train what stands before a query, on one episode."""

from __future__ import annotations

import torch
from backbones import double_backbone
from on_toys import TASKS

from metaicl.lm.backbone import Backbone
from metaicl.lm.prompts import Prompt
from metaicl.methods import method_class
from metaicl.methods.in_context.learned_prefix import LearnedPrefix
from metaicl.methods.in_context.rehearsal import Rehearsal
from metaicl.methods.in_context.tuned_context import TunedContext
from metaicl.testing import draw
from task_suites.formats.prompt_format import PromptFormat

CONTEXT, VIRTUAL = ("ct_kv", "ct_prompt"), ("prefix_tuning", "prompt_tuning")
EPISODE = draw(TASKS["options"], k=3, queries=3)
FORM = PromptFormat(instruction=True)


def made(name: str, backbone: Backbone | None = None, form: PromptFormat = FORM, **options) -> TunedContext:
    return method_class(name).build(backbone or double_backbone(), form, options)


def prefix_of(method: TunedContext, e=EPISODE) -> tuple[int, ...]:
    return (*method.virtual(e.task), *method.prompt(e.task, e.support).stable)


def rehearsal(method: TunedContext, e=EPISODE) -> Rehearsal:
    return method.rehearsal(e.task, e.support, prefix_of(method, e))


def start(method: TunedContext, e=EPISODE) -> LearnedPrefix:
    return method.learned_prefix(e.task, prefix_of(method, e), None)


def plain_losses(method: TunedContext, e=EPISODE) -> torch.Tensor:
    """The demonstrations' mean log-likelihoods, each from one plain sequence under a mask of its own."""
    backbone, found = method.backbone, []
    prompt = Prompt(backbone, method.form, e.task, e.support if method.config.demonstrations else ())
    prefix = prefix_of(method, e)
    for i, example in enumerate(e.support):
        branch = prompt.branch(method.form.of(e.task, None).branch(example, example.output))
        ids = [*prefix, *branch.ids]
        sees = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
        if method.config.demonstrations and method.config.leave_one_out:
            span = prompt.demonstration_spans()[i]
            sees[len(prefix) :, span.start : span.stop] = False
        mask = torch.zeros(1, 1, len(ids), len(ids), dtype=torch.float64).masked_fill(~sees, -1e300)
        backbone.run_with("plain")
        logits = backbone.model(input_ids=torch.tensor([ids]), attention_mask=mask).logits[0]
        backbone.run_with("tree")
        first = len(prefix) + branch.scored
        found.append(-torch.log_softmax(logits, -1)[range(first - 1, len(ids) - 1), ids[first:]])
    return torch.cat(found).mean()
