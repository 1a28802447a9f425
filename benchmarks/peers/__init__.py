"""Workers of the contests. Those of the peers import nothing of PneumoJAX."""
