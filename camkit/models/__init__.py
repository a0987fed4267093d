"""Networks, and reading their checkpoints."""
