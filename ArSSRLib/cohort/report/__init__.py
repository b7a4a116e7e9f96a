"""The report on results for visual checks: one HTML page per subject, and an index.

`survey` lists the results, `findings` examines one of them, `pictures` draws it, `outliers` finds unusual figures, and
`pages` writes the report. Every page is a single file that loads nothing.
"""
