"""What changes in p_shift when a network's states, or its sound, are changed."""
