"""The websocket server: connections, conversations, one batcher for all, access, metrics, workers, and the web page."""
