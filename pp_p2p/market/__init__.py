"""Markets: who trades what with whom, and who pays whom."""
