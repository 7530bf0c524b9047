"""What people see in a terminal: tables and colours there, plain text in a pipe."""
