"""Every sentence of a decision; nothing is ever decided by a sentence."""
