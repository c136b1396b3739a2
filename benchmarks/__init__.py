"""How fast one training step is: this package beside other ways to write it (see ``python -m benchmarks``)."""
