r"""Noise of the minibatch gradients, and the samples that training needs because of it (claims N1 to N6, T5).

Everything here is the law of **one** sample's gradient, with preconditioning (G6); a batch of B has its
variance divided by B. Power sums :math:`p_{ij} = \sum_t a_t^i q_t^j` cost one pass over A; beyond them no
cost depends on T.

- ``_value``: second moment and noise scale of :math:`\hat G_V` (N1, N2)
- ``_attention``: variance of each coordinate of :math:`\hat G_A`, signal and their ratio (N3)
- ``_threshold``: the proximal step and the batch that recovers the support (N4)
- ``_sign``, ``_sign_runs``: the probability that training from scratch finds the right sign, and such runs (N5)
- ``_testing``: the sign as a test between two hypotheses (N6)
- ``_recovery``: the batch from which one step finds every support (T5)
"""

from scbtheory.noise._attention import (
    attention_noise_scale,
    attention_noise_variance,
    attention_signal,
    attention_snr,
)
from scbtheory.noise._checks import BatchTooSmall
from scbtheory.noise._recovery import RecoveryTerms, bernstein_samples, recovery_batch, recovery_terms
from scbtheory.noise._sign import (
    SignRecursion,
    added_variance,
    rates,
    sign_batch,
    sign_noise,
    sign_probability,
    sign_recursion,
    sign_steps,
)
from scbtheory.noise._sign_runs import SignRuns, train_signs
from scbtheory.noise._testing import (
    bhattacharyya,
    sign_error_bound,
    sign_information,
    sign_samples,
    sign_test_error,
)
from scbtheory.noise._threshold import (
    measured_noise,
    passing,
    proximal_step,
    support_batch,
    threshold,
    universal_threshold,
    unthresholded_batch,
)
from scbtheory.noise._value import noise_scale, value_gradient_second_moment

__all__ = [
    "BatchTooSmall",
    "RecoveryTerms",
    "SignRecursion",
    "SignRuns",
    "added_variance",
    "attention_noise_scale",
    "attention_noise_variance",
    "attention_signal",
    "attention_snr",
    "bernstein_samples",
    "bhattacharyya",
    "measured_noise",
    "noise_scale",
    "passing",
    "proximal_step",
    "rates",
    "recovery_batch",
    "recovery_terms",
    "sign_batch",
    "sign_error_bound",
    "sign_information",
    "sign_noise",
    "sign_probability",
    "sign_recursion",
    "sign_samples",
    "sign_steps",
    "sign_test_error",
    "support_batch",
    "threshold",
    "train_signs",
    "universal_threshold",
    "unthresholded_batch",
    "value_gradient_second_moment",
]
