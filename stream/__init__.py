"""The runtime: live audio in, turn-taking predictions out, computed with numpy and ONNX Runtime.

This folder holds what one conversation needs: audio sources, engine, session, policy, the wire
format, and the commands that work on files. `service/` holds the server and `clients/` its clients.
`devices/` reads microphones and plays sound. `live/` holds the commands for a person at a terminal.
"""

if __name__ != "turnstream.stream":
    raise ImportError(
        f"this folder is installed as turnstream.stream, but was imported as {__name__!r}; "
        "run `pip install .` and `import turnstream`"
    )
