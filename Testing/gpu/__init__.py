"""One command for short access to a CUDA GPU: `run.py` verifies, measures, tunes, and trains.

The files of a run: `run` reads the options; `plan` lists the items; `supervision` runs them in a separate process,
within the time, and `results` stores the results. `smoke`, `checks`, `jobs` and `tuning` contain the items, based on
`ways` and `networks`; `report` converts the results to tables. `bare` replaces packages that the machine lacks.

The supervising process (`plan`, `supervision`, `results`, `report`) only needs the standard library: it starts
immediately, and failures of PyTorch or the GPU do not affect it.
"""
