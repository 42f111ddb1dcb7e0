"""Corpora on disk, each in its publisher's own layout, as lines of a manifest (`turnstream manifest`).

One file per corpus: what it looks like, and how to read it. Nothing here is needed to train: what the manifest's simple formats cannot
say is written beside it.
"""
