"""The colours of charts and pictures."""

INK, MUTED, RULE, PAPER = "#1f2933", "#5f6c7b", "#dde2e8", "#ffffff"
BLUE, ORANGE = "#1f5fa8", "#c8641b"
