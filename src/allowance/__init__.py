"""A budget around any call to a language model, where the call is made."""
