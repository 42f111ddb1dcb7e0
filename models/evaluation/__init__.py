"""Evaluate a system on real conversations.

The measures cover shifts and holds, onsets, backchannels, ends of turns and calibration. They
need neither torch nor audio. predictions.py holds the outputs of a system, and every measure is a
function of them.
"""
