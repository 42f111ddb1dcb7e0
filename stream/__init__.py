"""The runtime: live audio in, turn-taking predictions out, with numpy and ONNX Runtime only.

Here is what one conversation needs: audio, engine, session, policy, the wire format, and the commands for files. `service/` is the server,
`clients/` talk to it, and `live/` is for a person at this machine.
"""

if __name__ != "turnstream.stream":
    raise ImportError(
        f"this folder is installed as turnstream.stream, but was imported as {__name__!r}; run `pip install .` and `import turnstream`"
    )
