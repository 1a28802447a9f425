"""PneumoJAX reads chest X-rays for pneumonia. Research and education only, not a medical device."""
