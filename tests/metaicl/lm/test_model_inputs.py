"""The arguments that a model gets for a plain sequence, and for a packed row."""

from __future__ import annotations

import torch

from metaicl.lm.model_inputs import ModelInputs

IDS = torch.tensor([[5, 6]])


def test_a_plain_sequence_has_only_arguments_that_every_model_takes():
    assert ModelInputs(IDS).arguments() == {"input_ids": IDS, "use_cache": False}


def test_a_packed_row_has_its_positions_what_it_sees_and_the_states_before_it():
    positions, mask, states = torch.tensor([[3, 4]]), torch.zeros(1, 1, 2, 5), object()
    found = ModelInputs(IDS, positions, torch.tensor([2, 2]), {"attention_mask": mask}, states).arguments()
    assert found["position_ids"] is positions and found["attention_mask"] is mask
    assert found["cache"] is states and found["use_cache"]
    assert found.keys() == {"input_ids", "position_ids", "attention_mask", "cache", "use_cache"}
