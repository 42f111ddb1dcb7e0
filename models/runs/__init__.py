"""What every training run needs: devices and processes, and its folder."""
