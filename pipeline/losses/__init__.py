"""What training minimises: the loss terms, and the objective that sums a recipe's terms."""
