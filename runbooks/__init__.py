"""What is done to AWS: the steps of a containment, and the one door through which they change anything."""
