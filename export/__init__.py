"""Export of a torch checkpoint to a verified ONNX file that describes itself in its metadata."""

if __name__ != "turnstream.export":
    raise ImportError(
        f"this folder is installed as turnstream.export, but was imported as {__name__!r}; "
        "run `pip install .` and `import turnstream`"
    )
