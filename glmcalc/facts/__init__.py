"""What is known, each fact with where it comes from."""
