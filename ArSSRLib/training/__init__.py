"""How models are made. Imports the engine, is never imported by it.

The way of a run, room by room: `recipe` reads a `config`; `sources` says which volumes; `preparation` makes each one
ground truth and `cache` keeps it; `drawing` cuts patches, `synthesis` changes their contrast, `degradation` simulates
their acquisition and `dataset` makes batches of them; `loop` takes steps with `answer` and `losses`, asks `validation`
how good they are, and keeps `checkpoints` and a `journal`; `processes` lets several do so together; `cli` starts it.
"""
