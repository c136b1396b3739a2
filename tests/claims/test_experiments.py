"""What the experiments compute from their runs, where a verdict alone would not tell."""

import math

from scbtheory.claims.X3_side_by_side import share


def test_no_distance_is_within_one_that_is_claimed_to_be_none_or_negative():
    assert share(0.01, 0.02) == 0.5
    assert share(0.01, 1 - 1.078) == share(0.0, 0.0) == math.inf
