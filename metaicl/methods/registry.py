"""The registry of methods: one line for each way of learning from a support set.

A line gives a class its name. What the method is and what it needs, the class itself says (metaicl/methods/base.py).
A method of one's own needs no line: any config names it as `package.module:Name`.
"""

from __future__ import annotations

from task_suites.core.errors import UserError

METHODS: dict[str, str] = {
    "random": "metaicl.methods.baselines.chance:RandomAnswer",
    "majority": "metaicl.methods.baselines.chance:MajorityAnswer",
    "zero_shot": "metaicl.methods.in_context.icl:ZeroShot",
    "icl": "metaicl.methods.in_context.icl:InContext",
    "icl_calibrated": "metaicl.methods.in_context.icl:CrossFitCalibration",
    "icl_contextual": "metaicl.methods.in_context.icl:ContextualCalibration",
    "icl_pmi": "metaicl.methods.in_context.icl:PMI",
    "ct_kv": "metaicl.methods.in_context.context_tuning:ContextTuning",
    "ct_prompt": "metaicl.methods.in_context.context_tuning:PromptContextTuning",
    "prefix_tuning": "metaicl.methods.in_context.prefix_tuning:PrefixTuning",
    "prompt_tuning": "metaicl.methods.in_context.prefix_tuning:PromptTuning",
    "ttt": "metaicl.methods.in_context.test_time_training:TestTimeTraining",
    "finetune": "metaicl.methods.baselines.finetune:FineTune",
    "label_names": "metaicl.methods.metric.prototypes:LabelNames",
    "prototypes": "metaicl.methods.metric.prototypes:Prototypes",
    "prototypes_names": "metaicl.methods.metric.prototypes:NamedPrototypes",
    "logistic": "metaicl.methods.baselines.logistic:Logistic",
    "logistic_tfidf": "metaicl.methods.baselines.logistic:TfidfLogistic",
    "protonet": "metaicl.methods.metric.protonet:ProtoNet",
    "protonet_names": "metaicl.methods.metric.protonet:NamedProtoNet",
    "protonet_cosine": "metaicl.methods.metric.protonet:CosineProtoNet",
    "matching": "metaicl.methods.metric.matching:MatchingNet",
    "matching_fce": "metaicl.methods.metric.matching:MatchingNetFCE",
    "relation": "metaicl.methods.metric.relation:RelationNet",
    "r2d2": "metaicl.methods.metric.ridge:R2D2",
    "lrd2": "metaicl.methods.metric.ridge:LRD2",
    "snail": "metaicl.methods.metric.snail:SNAIL",
    "knn": "metaicl.methods.metric.knn:NearestNeighbours",
    "setfit": "metaicl.methods.baselines.setfit:SetFit",
    "setfit_lm": "metaicl.methods.baselines.setfit_lm:SetFitLM",
    "product_of_experts": "metaicl.methods.baselines.product_of_experts:ProductOfExperts",
    "stacking": "metaicl.methods.baselines.stacking:Stacking",
    "auto": "metaicl.methods.baselines.auto:Auto",
    "multitask": "metaicl.methods.in_context.metaicl:MultiTask",
    "transfer": "metaicl.methods.baselines.transfer:Transfer",
    "fomaml": "metaicl.methods.gradient.maml:FOMAML",
    "maml": "metaicl.methods.gradient.maml:MAML",
    "reptile": "metaicl.methods.gradient.reptile:Reptile",
    "meta_sgd": "metaicl.methods.gradient.meta_sgd:MetaSGD",
    "tnet": "metaicl.methods.gradient.tnet:TNet",
    "mtnet": "metaicl.methods.gradient.tnet:MTNet",
    "lstm_meta": "metaicl.methods.gradient.lstm_meta:LSTMMeta",
    "fomaml_icl": "metaicl.methods.gradient.maml:FOMAMLInContext",
    "maml_icl": "metaicl.methods.gradient.maml:MAMLInContext",
    "platipus": "metaicl.methods.bayesian.platipus:PLATIPUS",
    "bmaml": "metaicl.methods.bayesian.bmaml:BayesianMAML",
    "abmll": "metaicl.methods.bayesian.abmll:ABMLL",
    "metaicl_channel": "metaicl.methods.in_context.metaicl:MetaICLChannel",
    "metaicl_all_answers": "metaicl.methods.in_context.metaicl:MetaICLAllAnswers",
    "ict": "metaicl.methods.in_context.metaicl:InContextTuning",
    "metaicl": "metaicl.methods.in_context.metaicl:MetaICL",
}


def name_of(method: type) -> str:
    """Return a method's name in the registry; `package.module:Name` where it has none."""
    target = f"{method.__module__}:{method.__qualname__}"
    return next((name for name, registered in METHODS.items() if registered == target), target)


def not_meta_trained(name: str) -> UserError:
    """Return the error that the method of a name does not learn across tasks."""
    fix = f"Evaluate it as it is: metaicl evaluate --methods {name}."
    return UserError(f"method {name} is not meta-trained", fix=fix)
