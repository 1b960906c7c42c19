"""Networks that are shipped: a finished run made one, and all of them scored again."""
