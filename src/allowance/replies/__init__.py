"""Step 5: a reply or a stream becomes `Usage`, by its shape; no SDK is imported."""
