"""The runtime: live audio in, turn-taking predictions out, with numpy and ONNX Runtime only."""

if __name__ != "turnstream.stream":
    raise ImportError(f"this folder is installed as turnstream.stream, but was imported as {__name__!r}; run `pip install .` and `import turnstream`")
