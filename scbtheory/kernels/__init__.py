"""The token loops that decide the speed: one file a backend, one contract.

Every module here offers the same three functions and is tested against ``reference``:

``draw(stream, shape, cdf, dtype)``
    i.i.d. tokens; the same stream gives the same tokens on every backend, bit for bit.
``histogram(tokens, trigger, weights)``
    ``z[b, n] = sum_t weights[t, trigger[b]] * 1{tokens[b, t] = n}``, shape (B, N).
``accumulate(tokens, trigger, table)``
    ``g[t, k] = sum_{b: trigger[b] = k} table[b, tokens[b, t]]``, shape (T, N).
"""

from scbtheory.kernels import reference


def loops_for(name):
    """Return the module with the token loops of the backend called ``name``."""
    return reference
