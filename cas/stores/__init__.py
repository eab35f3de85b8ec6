"""Blob stores: where packs, refs and the repository's config are kept.

`base` says what a store offers, `names` how its objects are called; `memory` and `local` are the
stores there are; `opening` finds one by its location.
"""
