"""MetaICL and multi-task learning against the in-context methods that they are special cases of."""

from __future__ import annotations

import numpy as np
import pytest
from on_toys import TASKS, answers

from metaicl.methods import method_class
from metaicl.methods.in_context.icl import InContext
from metaicl.testing import draw
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat


@pytest.mark.parametrize("calibration", ["none", "pmi", "cross_fit"])
@pytest.mark.parametrize("objective", ["tokens", "both", "options"])
def test_raw_icl_equals_metaicl_with_untrained_weights_bit_for_bit(objective, calibration):
    from backbones import tiny_config

    from metaicl.lm.backbone import Backbone

    e = draw(TASKS["options"])
    form, options = PromptFormat(), {"calibration": calibration, "prior_share": 0.5}
    plain = method_class("icl").build(Backbone.load(tiny_config(weights="frozen")), form, options)
    backbone = Backbone.load(tiny_config(weights="lora"))
    untrained = method_class("metaicl").build(backbone, form, {"objective": objective, **options})
    pairs = zip(answers(plain, e), answers(untrained, e), strict=True)
    assert all(np.array_equal(a.scores, b.scores) for a, b in pairs)


def test_multitask_is_the_in_context_method_at_no_demonstrations(learnable):
    e = draw(TASKS["options"])
    multitask = InContext(learnable, PromptFormat(), InContext.Config(demonstrations=False))
    bare = InContext(learnable, PromptFormat(), InContext.Config())
    assert float(multitask([e])[0]) == float(bare.loss([(e.task, (), e.queries)])[0])


@pytest.mark.parametrize("form", ["text", "tags"])
def test_metaicl_learns_and_answers_texts_and_tags_as_without_calibration(learnable, form):
    e = draw(TASKS[form])
    plain, metaicl = (
        InContext(learnable, PromptFormat(), InContext.Config()),
        method_class("metaicl").build(learnable, PromptFormat()),
    )
    assert plain.serves == metaicl.serves
    both = InContext(learnable, PromptFormat(), InContext.Config(objective="both"))
    assert float(both([e])[0]) == float(metaicl([e])[0])
    assert [a.text for a in answers(plain, e)] == [a.text for a in answers(metaicl, e)]


def test_a_calibration_that_a_channel_prompt_does_not_allow_is_refused_before_training(learnable):
    with pytest.raises(UserError, match="calibration 'pmi' scores empty queries"):
        method_class("metaicl").build(learnable, PromptFormat(channel=True), {"calibration": "pmi"})
