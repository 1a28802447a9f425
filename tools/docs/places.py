"""The folders that the pages are rendered from and written to."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "records"
PERFORMANCE, PROFILES, RELIABILITY, REFERENCE, RESULTS = (
    RECORDS / name for name in ("performance", "profiles", "reliability", "reference", "results")
)
IMAGES = ROOT / "docs" / "images"
