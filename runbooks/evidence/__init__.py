"""Steps that keep evidence: waiting for it, and locking it."""
