"""The bisection behind T4's threshold."""

import pytest

from scbtheory.claims.T4_branch import bisected


def ending(K_cross):
    """Branches that turn at 0.3, with another product on each."""
    return (2.0, 0.5) if K_cross > 0.3 else (-1.0, -0.9)


def test_the_turn_is_found_with_the_products_on_both_sides():
    turn, right, wrong = bisected(ending, 0.0, 1.0, halvings=20)
    assert turn == pytest.approx(0.3, abs=1e-6)
    assert (right, wrong) == (1.0, 0.9)


@pytest.mark.parametrize(("low", "high"), [(0.4, 1.0), (0.0, 0.2)])
def test_ends_on_one_branch_are_refused(low, high):
    with pytest.raises(ArithmeticError, match=r"expected the .* branch"):
        bisected(ending, low, high, halvings=3)
