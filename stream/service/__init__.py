"""The websocket server: connections, conversations, batching, access, metrics, workers, page."""
