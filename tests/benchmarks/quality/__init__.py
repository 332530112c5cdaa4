"""Defects and benign changes of the miniature's pipeline, the gates they are put before, and the page that tells."""
