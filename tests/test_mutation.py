"""The list of mutants that change no result names mutants that there are."""

import mutation


def test_every_listed_mutant_exists():
    there = {mutant.key for path in mutation.core() for mutant in mutation.mutants(path)}
    assert mutation.equivalent().keys() <= there
