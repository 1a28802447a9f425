"""The notices that are shown with every prediction and every figure."""

DISCLAIMER = "Research and education only. Not a medical device."
SYNTHETIC_STAMP = "synthetic films"
