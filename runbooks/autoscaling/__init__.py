"""Steps on Auto Scaling groups."""
