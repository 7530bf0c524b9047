"""Playing a scenario: a stage with the simulated AWS, a player before it, and stand-ins for people.

The stage and the player are processes of their own. Neither has the environment of the process that
started it, and the player can connect to nothing but this machine.
"""
