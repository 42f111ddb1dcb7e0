"""Telephone calls: the messages of Twilio Media Streams, without I/O."""
