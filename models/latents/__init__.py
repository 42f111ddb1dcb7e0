"""What the network holds in mind, made visible.

Views show where its states lie, what can be read from them, what units do and how far back it
looks. Dialogues are collected once (`collect`, `collection`; of any network, `any_network`); every
view is made of a collection, and leaves files and captions (`views`). Needs the `latents` extra.
The runtime draws saved embeddings live (stream/saved_embedding.py).
"""
