"""Configuration: typed, frozen, complete; one file for each step.

`params.yaml` says what a person changes (`params`), `profiles/` how much of it is done (`profiles`). Both are resolved into one
settings file, which every stage reads (`settings`). No field has a default: the files are the record. A missing, unknown
or mistyped key is refused and named (`reading`).
"""
