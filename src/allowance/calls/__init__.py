"""What users touch, and the seven steps of one call: who, request, quote, reserve, measure, price, settle."""
