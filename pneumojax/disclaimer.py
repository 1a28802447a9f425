"""What is said wherever a prediction or a figure is shown."""

DISCLAIMER = "Research and education only. Not a medical device."
SYNTHETIC_STAMP = "synthetic films"
