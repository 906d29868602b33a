"""Does training on revisions teach? Several arms, seeds and iterations, and their statistics.

`python -m benchmarks.paper` runs it, `docs/evidence.md` says what it shows.
"""
