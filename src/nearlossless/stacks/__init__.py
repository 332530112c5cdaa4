"""The same recipe under two software stacks."""
