"""The report on results that a person looks at: one page of HTML per subject, and an index.

`survey` says which results there are, `findings` what is found in one of them, `pictures` what of it is shown,
`outliers` which figures stand out, and `pages` writes it all down. A page is one file that loads nothing from anywhere.
"""
