"""What can be read around events: average encodings and linear probes."""
