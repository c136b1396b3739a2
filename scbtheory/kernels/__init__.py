"""The token loops that decide the speed: one module a backend, one contract.

``host`` for the CPU and ``cuda`` offer the same four functions as ``reference``, and are tested against it:

``draw(backend, stream, shape, cdf, dtype, first=0)``
    i.i.d. tokens ``first``, ``first + 1``, … of a stream; the same on every backend, bit for bit.
``draw_at(backend, stream, index, cdf, dtype)``
    of the same tokens those with the numbers ``index`` (uint64, any shape).
``histogram(backend, tokens, trigger, weights, n_codes=N)``
    ``z[b, c] = sum_t weights[t, trigger[b]] * 1{tokens[b, t] = c}``, shape (B, n_codes).
``accumulate(backend, tokens, trigger, table, n_triggers=N)``
    ``g[t, k] = sum_{b: trigger[b] = k} table[b, tokens[b, t]]``, shape (T, n_triggers).

Tokens are as many as triggers, unless they are codes that stand for several tokens (see ``packing``).
On a GPU ``step_gradient`` (see ``device``) replaces all but ``draw_at`` wherever a whole step is asked for.
On the CPU ``grouped`` runs all three in one go, on as many samples as fit a core's cache.
"""

from importlib import import_module

__all__ = ["choose", "loops_for"]

MODULES = {"numpy": "host", "cupy": "cuda"}  # any other array library runs the reference


def loops_for(name):
    """Return the module with the token loops of the backend called ``name``."""
    return import_module(f"scbtheory.kernels.{MODULES.get(name, 'reference')}")


def choose(stream, index, tables, which):
    """Return, at the uniform numbers ``index`` of a stream, the first entry of row ``which`` of ``tables`` above it.

    On the host, for triggers, positions and outputs: few numbers, the same bits for every backend.
    """
    return import_module("scbtheory.kernels.compiled").choose(stream, index, tables, which)
