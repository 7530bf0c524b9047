"""The service: findings in, containment out, for as long as it runs."""
