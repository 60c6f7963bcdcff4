"""Terms that compare images by features of networks."""
