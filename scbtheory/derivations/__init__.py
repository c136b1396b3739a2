"""SymPy derivations, one module a subject; they import nothing from the numerics, nor the other way round.

Sizes N and T stay symbols throughout: a result is a proof for every vocabulary and context length,
under the assumptions that its docstring names.
"""
