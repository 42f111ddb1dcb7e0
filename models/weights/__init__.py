"""The bundled model: ONNX graph, torch weights, configuration and model card."""
