"""Steps on EC2 instances."""
