"""What is contained, resolved to facts that are read once and then passed along, never changed."""
