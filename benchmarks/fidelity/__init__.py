"""How much of what AWS does holds in the simulated AWS, and in plain moto_server."""
