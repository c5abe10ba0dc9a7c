"""Where each byte of one GPU goes, and whether it fits."""
