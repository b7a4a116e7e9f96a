"""BIDS data sets to BIDS derivatives: subjects, sessions, shares of the work, and clusters.

`processing` handles a single scan; `distribution` assigns scans to processes and machines. Voxels, geometry and
networks are handled by the rooms below.
"""
