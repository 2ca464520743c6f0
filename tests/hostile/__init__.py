"""Objects that take common receivers down, and what the router does with each."""
