"""nbval leaves out drawings: it compares their data, as text.

A digest ties each drawing to that: ``scbtheory.publishing.notebooks.seal``.
"""

from scbtheory.publishing.notebooks import DRAWN


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare = (*collector.skip_compare, *DRAWN)
