"""Which encoder, which read-out, which way of learning: networks trained with the same budget and measured alike, from one configuration file."""
