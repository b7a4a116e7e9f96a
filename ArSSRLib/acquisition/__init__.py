"""How a volume was acquired: slice profiles, simulated acquisitions, and agreement with the measurement.

One vocabulary for the engine, training and evaluation. Files and headers are read in `io`; this package turns what
they say into numbers.
"""
