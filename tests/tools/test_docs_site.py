"""The links of a page, in the checkout and in the site."""

import pytest

from tools.docs_site import linked_from, with_links_of_the_site


@pytest.mark.parametrize(
    ("page", "link", "in_the_site"),
    [
        ("docs/data.md", "input.md#batches", "input.md#batches"),
        ("docs/data.md", "images/soak.png", "images/soak.png"),
        ("docs/data.md", "../records/data/a.json", "records/data/a.json"),
        ("docs/security.md", "../SECURITY.md", "SECURITY.md"),
        ("CONTRIBUTING.md", "docs/systems.md", "systems.md"),
        ("records/README.md", "results/README.md", "results/README.md"),
        ("records/README.md", "../docs/data.md", "../data.md"),
        ("docs/index.md", "../README.md", "index.md"),
        ("docs/data.md", "#layout", "#layout"),
        ("docs/data.md", "https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_a_link_leads_to_the_same_file_in_the_site(page, link, in_the_site):
    text = f"See [it]({link})."
    assert with_links_of_the_site(page, text) == f"See [it]({in_the_site})."


def test_linked_files_are_named_from_the_root():
    text = "[a](../records/a.json), [b](b.md#top), [c](https://c.org), ![d](images/d.png)"
    found = list(linked_from("docs/data.md", text))
    assert found == ["records/a.json", "docs/b.md", "docs/images/d.png"]
