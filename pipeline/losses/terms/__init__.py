"""Loss terms, one per file. The file NAME.py has a function NAME that returns the term.

Files are here, or in a folder that groups terms. `config.objective.NAME` holds the arguments of
that function, so a new term needs its file and nothing else. Functions may also take `where`, the
key of the term in the recipe, for messages, and `load_codec`, which reads a codec folder; both are
supplied by `pipeline.losses.objective.create`.
"""
