"""Steps on load balancers."""
