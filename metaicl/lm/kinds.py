"""The two kinds of backbone, a causal language model and a sentence encoder, and the door to either."""

from __future__ import annotations

from typing import TypeAlias

from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.lm.encoder import Encoder
from metaicl.lm.models import kind_of

AnyBackbone: TypeAlias = Backbone | Encoder


def load_backbone(config: BackboneConfig, initial_seed: int = 0) -> AnyBackbone:
    """Return the backbone that `config` names, of the kind that its model is; `initial_seed` seeds new adapters.

    Raises:
        UserError: there is no such model.
    """
    return Encoder.load(config) if kind_of(config.model) == "encoder" else Backbone.load(config, initial_seed)
