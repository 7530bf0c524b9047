"""The journal: append-only, hash-chained, and the only truth about an incident."""
