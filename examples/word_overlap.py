"""A method of one's own: overlap in tokens, each with a learned weight. In this folder:

metaicl train --method word_overlap:WordOverlap --run_name overlap --max_steps 20 --forms options
metaicl evaluate --methods icl runs/overlap --highlight overlap --forms options
"""

from dataclasses import dataclass

import torch

from metaicl.methods.base import Method
from metaicl.methods.predictor import Predictor
from task_suites.core.ranges import Positive


class WordOverlap(Method):
    note = "tokens that query and demonstrations share, weighed"
    meta_trained = True
    weights = "frozen"  # it learns none of the language model's weights
    reads_prompts = False

    @dataclass(frozen=True)
    class Config(Method.Config):
        """Options of the method.

        Attributes:
            start: the weight of each token before training.
        """

        start: Positive = 1.0

    def __init__(self, backbone, form, config):
        super().__init__(backbone, form, config)
        self.importance = torch.nn.Parameter(torch.full((backbone.model_config.vocab_size,), config.start))

    def logits(self, support, query):
        """`[options]`: the weight of the tokens that the query shares with each option's demonstrations."""
        tokens, scores = set(self.backbone.encode(query.text)), []
        for option in query.options:
            shared = {t for e in support if e.output == option for t in self.backbone.encode(e.text)} & tokens
            scores.append(self.importance[sorted(shared)].sum())
        return torch.stack(scores)

    def forward(self, episodes):
        pairs = [(episode, query) for episode in episodes for query in episode.queries]
        logs = [torch.log_softmax(self.logits(e.support, q), 0)[q.options.index(q.output)] for e, q in pairs]
        return -torch.stack(logs).sum(), self.importance.new_tensor(float(len(logs)))

    def adapt(self, task, support):
        self.check_serves(task)
        return Overlap(self, support)


class Overlap(Predictor):
    def __init__(self, method, support):
        self.method, self.support = method, support

    @torch.no_grad()
    def scores(self, queries):
        return [self.method.logits(self.support, query).cpu().numpy() for query in queries]
