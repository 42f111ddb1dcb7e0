"""Websocket clients: asyncio, blocking, and the command `turnstream client`."""
