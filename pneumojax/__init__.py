"""PneumoJAX reads chest X-rays for pneumonia. Research and education only, not a medical device."""

__version__ = "0.1.0"
