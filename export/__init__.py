"""From a torch checkpoint to a verified ONNX file, and a description of what is in it."""

if __name__ != "turnstream.export":
    raise ImportError(
        f"this folder is installed as turnstream.export, but was imported as {__name__!r}; run `pip install .` and `import turnstream`"
    )
