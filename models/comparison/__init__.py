"""Compare encoders, read-outs and ways to train, with one budget and the same measures.

One configuration file lists the networks.
"""
