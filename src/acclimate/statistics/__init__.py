"""Statistics of returns. What users import; the house itself imports from the files."""

from acclimate.statistics.bootstrap import (
    forgetting,
    hierarchical_bootstrap,
    paired_difference,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)
from acclimate.statistics.conformal import conformal_quantile
from acclimate.statistics.curve import Crossing, auc, crossings, recovery, steps_to_threshold, worst_dip
from acclimate.statistics.detection import auroc, rate_at
from acclimate.statistics.estimates import Estimate, finite, gain, iqm, lower_bound, mean, optimality_gap
from acclimate.statistics.judgement import sure_gain
from acclimate.statistics.proportions import exact_proportion, paired_proportions, proportion

__all__ = [
    "Crossing",
    "Estimate",
    "auc",
    "auroc",
    "conformal_quantile",
    "crossings",
    "exact_proportion",
    "finite",
    "forgetting",
    "gain",
    "hierarchical_bootstrap",
    "iqm",
    "lower_bound",
    "mean",
    "optimality_gap",
    "paired_difference",
    "paired_proportions",
    "performance_profile",
    "probability_of_improvement",
    "proportion",
    "rate_at",
    "recovery",
    "steps_to_threshold",
    "stratified_bootstrap",
    "sure_gain",
    "worst_dip",
]
