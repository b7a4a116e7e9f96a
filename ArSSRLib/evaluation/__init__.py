"""How models are judged. Imports the engine, is never imported by it.

The way of an evaluation, room by room: a `protocol` says what is compared on whose volumes; `truth` makes each volume
ground truth and `degradation` simulates its acquisition; `methods` answer, `judging` measures, with `ripple` for thick
slices; `cells` keeps what is finished and names it by all that decided it; `runner` goes through one subject and
`workers` through many at once; `statistics`, `report`, `figures` and `curves` show what came out; `cli` starts it.
"""
