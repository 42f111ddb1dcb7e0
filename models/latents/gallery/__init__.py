"""All views of one network, in one folder."""
