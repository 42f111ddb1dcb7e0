"""How right a system is about real conversations: shifts and holds, onsets, backchannels, ends of turns, calibration.

Needs neither torch nor audio: what a system said is in predictions.py, and every measure is a function of it.
"""
