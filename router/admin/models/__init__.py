"""What may be asked of the HTTP API, and what it answers: a module per resource."""
