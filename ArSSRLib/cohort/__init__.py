"""A BIDS data set in, BIDS derivatives out: subjects, sessions, shares of the work, and clusters.

What happens to one scan is in `processing`; where it happens, in `distribution`. Voxels, geometry and networks are
the business of the rooms below.
"""
