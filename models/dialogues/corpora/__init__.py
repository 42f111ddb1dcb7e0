"""Readers for published corpora; they make the lines of a manifest (`turnstream manifest`).

Each file describes the layout of one corpus as published, and reads it. Training does not need
these readers: what the simple formats of a manifest cannot express is written beside it. A new
reader is listed in registry.py.
"""
