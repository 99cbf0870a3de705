"""Proof that the lakehouse holds what the source holds. Shares no code with the jobs that it checks."""
