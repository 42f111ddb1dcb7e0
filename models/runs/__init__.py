"""Devices, processes and folder of a run, for every kind of training."""
