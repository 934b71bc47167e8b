"""Longer proofs, each one command: ``python -m tests.proofs.NAME``; the suite has a short version of each."""
