"""Limits: what is the least anyone needs, and how far is the algorithm from it (family L)."""

from scbtheory.limits._budget import Budget, budget
from scbtheory.limits._chain import chain_batch, correlate, decorrelate
from scbtheory.limits._detection import (
    detection_threshold,
    miss_probability,
    samples_for_support,
    support_by_moments,
)
from scbtheory.limits._fisher import Errors, cramer_rao, fisher_information, least_squares_error
from scbtheory.limits._guarantee import Guarantee, Numbers, estimate_by_moments, samples, support_by_entries
from scbtheory.limits._information import fano_error, fano_samples, supports, token_information
from scbtheory.limits._likelihood import Counts, estimated_error, maximum_likelihood
from scbtheory.limits._moments import chi_squared_information, moment_mean, moment_statistic

__all__ = [
    "Budget",
    "Counts",
    "Errors",
    "Guarantee",
    "Numbers",
    "budget",
    "chain_batch",
    "chi_squared_information",
    "correlate",
    "cramer_rao",
    "decorrelate",
    "detection_threshold",
    "estimate_by_moments",
    "estimated_error",
    "fano_error",
    "fano_samples",
    "fisher_information",
    "least_squares_error",
    "maximum_likelihood",
    "miss_probability",
    "moment_mean",
    "moment_statistic",
    "samples",
    "samples_for_support",
    "support_by_entries",
    "support_by_moments",
    "supports",
    "token_information",
]
