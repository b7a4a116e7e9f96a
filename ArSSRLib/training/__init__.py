"""Training of models. It imports the engine; the engine never imports it.

A training run, room by room: `recipe` reads a `config`; `sources` keeps subjects apart; `preparation` turns each volume
into ground truth, and `cache` stores it; `drawing` cuts patches, `synthesis` changes their contrast, `simulation` draws
how they are acquired, `degradation` simulates that, and `dataset` builds batches; `loop` takes the steps with `losses`
and `optimizers`, runs `validation`, and writes `checkpoints` and a `journal`; `processes` runs several processes as
one; `cli` is the entry.
"""
