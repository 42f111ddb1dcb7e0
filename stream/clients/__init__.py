"""The websocket clients: asynchronous, blocking, and the command line's."""
