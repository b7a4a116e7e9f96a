"""One command for a CUDA GPU that is at hand for minutes: `run.py` proves, measures, tunes, and trains.

The way of a run, file by file: `run` reads the options; `plan` lists what is to be done; `supervision` does it in a
process of its own, within the time, and `results` keeps what is known. `smoke`, `checks`, `jobs` and `tuning`
are what is done there, on `ways` and `networks`; `report` turns the results into tables. `bare` stands in for packages
that the machine lacks.

What the supervising process imports (`plan`, `supervision`, `results`, `report`) needs the standard library alone: it
starts at once, and whatever happens to PyTorch or the GPU does not happen to it.
"""
