"""Reading launch commands as people write them."""
