"""How a volume was acquired: slice profiles, simulated acquisitions, and agreement with the measurement.

The engine, training and evaluation share these definitions. Files and headers are read in `io`; this package converts
their contents into numbers.
"""
